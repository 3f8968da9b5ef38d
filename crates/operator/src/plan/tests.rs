//! A line of the table is a test.
