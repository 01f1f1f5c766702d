//! What the compiler says to a user who got something wrong.
//!
//! The expected messages are those of the Rust version that the workspace is developed with; bless
//! them with `TRYBUILD=overwrite`, then read the difference.

#[test]
fn mistakes_are_explained_at_their_place() {
    trybuild::TestCases::new().compile_fail("ui/*/*.rs");
}
