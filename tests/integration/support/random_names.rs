//! Strategies for names of any kind.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

pub(crate) fn name(
    characters: impl Strategy<Value = char>,
    most: usize,
) -> impl Strategy<Value = String> {
    prop::collection::vec(characters, 0..most).prop_map(String::from_iter)
}

/// Characters that are common in text, and sometimes others.
pub(crate) fn character() -> impl Strategy<Value = char> {
    prop_oneof![
        8 => prop::char::range(' ', '~'),
        2 => prop::sample::select(vec!['`', '\'', '"', '\\', '.', '%', '?', '\n', '\t', ' ']),
        4 => prop::char::range('\u{80}', '\u{d7ff}'),
        1 => prop::char::range('\u{1}', '\u{1f}'),
    ]
}

pub(crate) fn any_character() -> impl Strategy<Value = char> {
    prop_oneof![20 => character(), 1 => any::<char>(), 1 => Just('\0'), 1 => Just('\u{1f512}')]
}

pub(crate) fn runner() -> TestRunner {
    TestRunner::new(Config { cases: 128, failure_persistence: None, ..Config::default() })
}
