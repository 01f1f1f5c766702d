//! Reads Rust files as tokens, without documentation and unit tests.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// A path, and its place in the file.
pub(super) struct Named {
    pub(super) segments: Vec<String>,
    /// The modules of the file that it is in.
    pub(super) inside: Vec<String>,
    pub(super) line: usize,
}

/// Returns the tokens of a file without its documentation and its unit tests.
pub(super) fn tokens(text: &str, file: &str) -> Vec<TokenTree> {
    let tokens = text.parse::<TokenStream>();
    without_tests(tokens.unwrap_or_else(|error| panic!("locks/src/{file}: {error}")))
}

fn without_tests(tokens: TokenStream) -> Vec<TokenTree> {
    let mut kept = Vec::new();
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        let is_pound = matches!(&token, TokenTree::Punct(punct) if punct.as_char() == '#');
        if !is_pound {
            kept.push(token);
            continue;
        }
        // An attribute of the whole file has an exclamation mark.
        let is_inner =
            |next: &TokenTree| matches!(next, TokenTree::Punct(punct) if punct.as_char() == '!');
        tokens.next_if(is_inner);
        let Some(TokenTree::Group(attribute)) = tokens.next() else { continue };
        let attribute = attribute.stream();
        let text = attribute.to_string().replace(' ', "");
        if text == "test" || text == "cfg(test)" {
            // Up to the end of the item.
            for token in tokens.by_ref() {
                match token {
                    TokenTree::Punct(punct) if punct.as_char() == ';' => break,
                    TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => break,
                    _ => {}
                }
            }
        } else if !text.starts_with("doc=") {
            kept.extend(without_tests(attribute));
        }
    }
    kept
}

fn inner(group: &Group) -> Vec<TokenTree> {
    without_tests(group.stream())
}

fn ident(token: Option<&TokenTree>) -> Option<String> {
    match token {
        Some(TokenTree::Ident(ident)) => Some(ident.to_string()),
        _ => None,
    }
}

/// Returns whether two colons begin here.
fn colons(tokens: &[TokenTree]) -> bool {
    let colon = |token: Option<&TokenTree>| matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == ':');
    colon(tokens.first()) && colon(tokens.get(1))
}

/// All paths that a file imports or exports by `use`.
pub(super) fn exports(tokens: &[TokenTree]) -> Vec<Named> {
    let mut found = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        if matches!(token, TokenTree::Ident(keyword) if keyword == "use") {
            path(&tokens[index + 1..], &[], &[], 0, &mut found);
        }
    }
    found
}

/// All paths that begin with `crate` or `super`.
pub(super) fn paths(tokens: &[TokenTree]) -> Vec<Named> {
    let mut found = Vec::new();
    collect(tokens, &[], &mut found);
    found
}

fn collect(tokens: &[TokenTree], inside: &[String], found: &mut Vec<Named>) {
    let mut index = 0;
    while index < tokens.len() {
        match &tokens[index] {
            // `pub(crate)` is no path.
            TokenTree::Ident(first)
                if (first == "crate" || first == "super") && colons(&tokens[index + 1..]) =>
            {
                let line = first.span().start().line;
                index += path(&tokens[index..], &[], inside, line, found);
                continue;
            }
            TokenTree::Ident(keyword) if keyword == "mod" => {
                if let (Some(name), Some(TokenTree::Group(body))) =
                    (ident(tokens.get(index + 1)), tokens.get(index + 2))
                {
                    collect(&inner(body), &[inside, &[name]].concat(), found);
                    index += 3;
                    continue;
                }
            }
            TokenTree::Group(group) => collect(&inner(group), inside, found),
            _ => {}
        }
        index += 1;
    }
}

/// Reads a path, or a tree of paths, and returns how many tokens it has.
fn path(
    tokens: &[TokenTree],
    before: &[String],
    inside: &[String],
    line: usize,
    found: &mut Vec<Named>,
) -> usize {
    let mut segments = before.to_vec();
    let mut index = 0;
    loop {
        match tokens.get(index) {
            Some(TokenTree::Ident(segment)) => {
                segments.push(segment.to_string());
                index += 1;
            }
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                let tree = inner(group);
                let is_comma = |token: &TokenTree| matches!(token, TokenTree::Punct(punct) if punct.as_char() == ',');
                for branch in tree.split(is_comma).filter(|branch| !branch.is_empty()) {
                    path(branch, &segments, inside, line, found);
                }
                return index + 1;
            }
            _ => break,
        }
        if !colons(&tokens[index.min(tokens.len())..]) {
            break;
        }
        index += 2;
    }
    found.push(Named { segments, inside: inside.to_vec(), line });
    index.max(1)
}

pub(super) fn literals(tokens: &[TokenTree]) -> Vec<String> {
    let mut found = Vec::new();
    for token in tokens {
        match token {
            TokenTree::Literal(literal) => found.push(literal.to_string()),
            TokenTree::Group(group) => found.extend(literals(&inner(group))),
            _ => {}
        }
    }
    found
}
