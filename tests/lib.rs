//! Integration tests of diesel-locks: one binary, a module for each subject.
