//! What the compiler says to a user who got something wrong.
//!
//! The expected messages are those of the Rust version that the workspace is developed with; bless
//! them with `TRYBUILD=overwrite`, then read the difference.

#[test]
fn mistakes_are_explained_where_they_were_made() {
    trybuild::TestCases::new().compile_fail("ui/*/*.rs");
}
