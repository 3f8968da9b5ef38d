//! The rules of README.md, one test each, through requests of JSON only.

mod rules {
    mod deletion;
    mod reading;
    mod rows;
    mod validating;
    mod watching;
    mod writing;
}
mod support;
