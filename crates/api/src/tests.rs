//! What is written and what is read.
