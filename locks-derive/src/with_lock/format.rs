//! The literal of a `format!`. One that cannot be read here is left to `format!` itself, which says
//! what is wrong.

use syn::Ident;

pub(crate) struct Format {
    pieces: Vec<Piece>,
}

enum Piece {
    Text(String),
    /// `{argument:spec}`, the colon with the spec.
    Placeholder {
        argument: String,
        spec: String,
    },
}

impl Format {
    pub(crate) fn read(literal: &str) -> Option<Self> {
        let mut pieces = Vec::new();
        let mut text = String::new();
        let mut rest = literal.chars().peekable();
        while let Some(character) = rest.next() {
            match character {
                '{' | '}' if rest.next_if_eq(&character).is_some() => text.push(character),
                '{' => {
                    pieces.push(Piece::Text(std::mem::take(&mut text)));
                    pieces.push(placeholder(&mut rest)?);
                }
                '}' => return None,
                _ => text.push(character),
            }
        }
        pieces.push(Piece::Text(text));
        Some(Self { pieces })
    }

    /// Returns the text, if there is nothing else.
    pub(crate) fn plain(&self) -> Option<&str> {
        match &*self.pieces {
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    fn placeholders(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Placeholder { argument, spec } => Some((argument.as_str(), spec.as_str())),
            Piece::Text(_) => None,
        })
    }

    /// Counts the positional arguments that are used.
    pub(crate) fn positional(&self) -> usize {
        let mut next = 0;
        let mut indexed = 0;
        for (argument, spec) in self.placeholders() {
            next += usize::from(argument.is_empty()) + usize::from(spec.contains(".*"));
            for index in parameters(spec).chain([argument]).filter_map(|word| word.parse().ok()) {
                indexed = indexed.max(1_usize.saturating_add(index));
            }
        }
        next.max(indexed)
    }

    pub(crate) fn uses(&self, name: &Ident) -> bool {
        self.placeholders().any(|(argument, spec)| {
            parameters(spec).chain([argument]).any(|used| name == used.trim())
        })
    }

    /// Returns the first capture that is not an identifier.
    pub(crate) fn captured_expression(&self) -> Option<&str> {
        self.placeholders().map(|(argument, _)| argument).find(|argument| is_expression(argument))
    }

    /// Writes the literal and its arguments with nothing but identifiers captured.
    pub(crate) fn with_arguments(&self, given: &[String]) -> String {
        let mut given = given.iter();
        let mut literal = String::new();
        let mut arguments = Vec::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => {
                    literal.push_str(&text.replace('{', "{{").replace('}', "}}"));
                }
                Piece::Placeholder { argument, spec } if is_expression(argument) => {
                    literal.extend(["{", spec, "}"]);
                    arguments.push(argument.as_str());
                }
                Piece::Placeholder { argument, spec } => {
                    literal.extend(["{", argument, spec, "}"]);
                    if argument.is_empty() {
                        arguments.extend(given.next().map(String::as_str));
                    }
                }
            }
        }
        arguments.extend(given.map(String::as_str));
        format!("{literal:?}, {}", arguments.join(", "))
    }
}

fn placeholder(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Piece> {
    let mut argument = String::new();
    while let Some(character) = rest.next_if(|&character| character != ':' && character != '}') {
        argument.push(character);
    }
    let mut spec = String::new();
    while let Some(character) = rest.next_if(|&character| character != '}') {
        spec.push(character);
    }
    // `{:}>8}` fills with brackets.
    if spec == ":" && rest.clone().nth(1).is_some_and(|align| matches!(align, '<' | '^' | '>')) {
        spec.extend(rest.next());
        while let Some(character) = rest.next_if(|&character| character != '}') {
            spec.push(character);
        }
    }
    rest.next().map(|_| Piece::Placeholder { argument, spec })
}

/// Returns the arguments that a spec names for width and precision: `{:width$.2$}`.
fn parameters(spec: &str) -> impl Iterator<Item = &str> {
    let ended = spec.split_inclusive('$').filter_map(|part| part.strip_suffix('$'));
    ended.map(|part| {
        let start = part.rfind(|c: char| !c.is_alphanumeric() && c != '_');
        start.map_or(part, |at| {
            part[at..].trim_start_matches(|c: char| !c.is_alphanumeric() && c != '_')
        })
    })
}

fn is_expression(argument: &str) -> bool {
    let argument = argument.trim();
    let is_plain = argument.is_empty()
        || argument == "self"
        || argument.parse::<usize>().is_ok()
        || syn::parse_str::<Ident>(argument).is_ok();
    !is_plain && syn::parse_str::<syn::Expr>(argument).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(literal: &str) -> Format {
        Format::read(literal).unwrap_or_else(|| panic!("not understood: {literal}"))
    }

    #[test]
    fn text_without_placeholders_is_plain() {
        assert_eq!(read("nightly").plain(), Some("nightly"));
        assert_eq!(read("a{{b}}c").plain(), Some("a{b}c"));
        assert_eq!(read("").plain(), Some(""));
        assert_eq!(read("{id}").plain(), None);
    }

    #[test]
    fn a_literal_that_format_refuses_is_left_to_it() {
        for literal in ["{", "}", "a{b", "{id:", "a}b"] {
            assert!(Format::read(literal).is_none(), "{literal}");
        }
    }

    #[test]
    fn used_arguments_are_counted() {
        assert_eq!(read("{}-{}").positional(), 2);
        assert_eq!(read("{1}-{}").positional(), 2);
        assert_eq!(read("{:.*}").positional(), 2);
        assert_eq!(read("{:>2$}").positional(), 3);
        assert_eq!(read("{:}>8}{}").positional(), 2);
        assert_eq!(read("{id:04}").positional(), 0);
        let name = |name: &str| syn::parse_str::<Ident>(name).unwrap_or_else(|e| panic!("{e}"));
        assert!(read("{id:04}").uses(&name("id")));
        assert!(read("{:>width$.precision$}").uses(&name("width")));
        assert!(read("{:>width$.precision$}").uses(&name("precision")));
        assert!(!read("{id}").uses(&name("i")));
    }

    #[test]
    fn expressions_become_arguments() {
        let format = read("{}-{user.id:04}-{{{id}}}-{ids[0]}");
        assert_eq!(format.captured_expression(), Some("user.id"));
        let form = format.with_arguments(&["day".to_owned(), "rest".to_owned()]);
        assert_eq!(form, r#""{}-{:04}-{{{id}}}-{}", day, user.id, ids[0], rest"#);
        for plain in ["{id}", "{0}", "{self}", "{r#type}", "{ id }"] {
            assert!(read(plain).captured_expression().is_none(), "{plain}");
        }
    }
}
