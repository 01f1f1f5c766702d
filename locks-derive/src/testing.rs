//! Shared by the unit tests.
#![allow(clippy::expect_used, reason = "a test states its expectations by unwrapping them")]

use expect_test::Expect;
use proc_macro2::TokenStream;

/// Compares an expansion; `UPDATE_EXPECT=1` writes the current one into the test.
pub(crate) fn assert_expansion(tokens: TokenStream, expected: &Expect) {
    let file = syn::parse2(tokens).expect("the expansion is valid Rust");
    expected.assert_eq(&prettyplease::unparse(&file));
}
