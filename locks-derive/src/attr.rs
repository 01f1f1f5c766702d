//! The syntax inside an attribute. The user's tokens are kept, so that a fault found later still
//! points at them.

use proc_macro2::{Span, TokenTree};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::{Error, Ident, Result, Token, parenthesized, token};

use crate::diagnostic::{Faults, duplicate, fault_at, looks_like};

/// A value, with the key that it was given for.
pub(crate) struct Keyed<T> {
    pub(crate) key: Ident,
    pub(crate) value: T,
}

/// Sets a key's value, at most once.
pub(crate) fn set<T>(slot: &mut Option<Keyed<T>>, given: Keyed<T>, help: &str) -> Result<()> {
    if slot.is_some() {
        return Err(duplicate(&given.key, &given.key, help));
    }
    *slot = Some(given);
    Ok(())
}

/// Reads entries separated by commas. A fault in one entry does not hide those in others.
///
/// Always consumes the whole input: syn would add its own fault for the rest.
pub(crate) fn entries(
    input: ParseStream<'_>,
    form: &str,
    faults: &mut Faults,
    mut entry: impl FnMut(ParseStream<'_>, &mut Faults) -> Result<()>,
) -> Result<()> {
    while !input.is_empty() {
        let read = entry(input, faults).and_then(|()| end_of_entry(input, form));
        faults.keep(read);
        skip_entry(input)?;
        input.parse::<Option<Token![,]>>()?;
    }
    Ok(())
}

pub(crate) fn end_of_entry(input: ParseStream<'_>, form: &str) -> Result<()> {
    if input.is_empty() || input.peek(Token![,]) {
        Ok(())
    } else {
        Err(expected("`,`", input, form))
    }
}

/// Skips to the next comma outside of brackets.
pub(crate) fn skip_entry(input: ParseStream<'_>) -> Result<()> {
    while !input.is_empty() && !input.peek(Token![,]) {
        input.parse::<TokenTree>()?;
    }
    Ok(())
}

/// Reads a key, which may be a keyword.
pub(crate) fn key(input: ParseStream<'_>, form: &str) -> Result<Ident> {
    Ident::parse_any(input).map_err(|_| expected("a key", input, form))
}

/// Reads the `=` after a key, and the value.
pub(crate) fn value<T: Parse>(
    input: ParseStream<'_>,
    key: &Ident,
    what: &str,
    form: &str,
) -> Result<T> {
    if !input.peek(Token![=]) {
        return Err(expected_after("`=`", key, input, form));
    }
    input.parse::<Token![=]>()?;
    let at = at(input).unwrap_or(key.span());
    input.parse().map_err(|_| fault_at(at, format!("expected {what}"), looks_like(form)))
}

/// Reads the parentheses after a key, and the entries inside.
pub(crate) fn list<T>(
    input: ParseStream<'_>,
    key: &Ident,
    form: &str,
    faults: &mut Faults,
    entry: fn(ParseStream<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    if !input.peek(token::Paren) {
        return Err(expected_after("`(`", key, input, form));
    }
    let content;
    parenthesized!(content in input);
    if content.is_empty() {
        return Err(fault_at(key.span(), format!("`{key}` is empty"), looks_like(form)));
    }
    let mut values = Vec::new();
    entries(&content, form, faults, |content, _| {
        values.push(entry(content)?);
        Ok(())
    })?;
    Ok(values)
}

/// Returns the span of the next token, if the entry has one.
fn at(input: ParseStream<'_>) -> Option<Span> {
    (!input.is_empty() && !input.peek(Token![,])).then(|| input.span())
}

fn expected_after(what: &str, key: &Ident, input: ParseStream<'_>, form: &str) -> Error {
    let at = at(input).unwrap_or(key.span());
    fault_at(at, format!("expected {what} after `{key}`"), looks_like(form))
}

pub(crate) fn expected(what: &str, input: ParseStream<'_>, form: &str) -> Error {
    fault_at(input.span(), format!("expected {what}"), looks_like(form))
}

/// Returns whether `name =` comes next, with one of these names.
pub(crate) fn is_key_of(input: ParseStream<'_>, names: &[&str]) -> bool {
    let next = input.fork().call(Ident::parse_any);
    is_named(input) && next.is_ok_and(|name| names.iter().any(|known| name == known))
}

/// Returns whether `name =` comes next.
pub(crate) fn is_named(input: ParseStream<'_>) -> bool {
    input.peek(Ident::peek_any) && input.peek2(Token![=]) && !input.peek2(Token![==])
}
