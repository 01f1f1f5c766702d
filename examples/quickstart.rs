//! Placeholder until the library works.
fn main() {}
