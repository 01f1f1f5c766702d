//! Compile errors, as users see them.
//!
//! The expected messages come from the Rust version that the workspace is developed with. Bless
//! them with `TRYBUILD=overwrite`, then read the diff.

#[test]
fn mistakes_are_explained_where_they_were_made() {
    trybuild::TestCases::new().compile_fail("ui/*/*.rs");
}
