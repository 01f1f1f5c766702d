//! The name of a model's table, by Diesel's own rules.

use proc_macro2::Span;
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::{Attribute, Expr, ExprLit, Ident, Lit, LitStr, Meta, MetaNameValue, Path, Result, Token};

use crate::attr::{end_of_entry, skip_entry, value};
use crate::diagnostic::{Faults, fault, looks_like};

const FORM: &str = "#[diesel(table_name = restaurants)]";

/// Reads `table_name` out of one of Diesel's attributes. The other keys are left to Diesel.
pub(super) fn in_diesel(attribute: &Attribute, faults: &mut Faults) -> Vec<Path> {
    let Meta::List(list) = &attribute.meta else { return Vec::new() };
    let mut names = Vec::new();
    let parser = |input: ParseStream<'_>| {
        while !input.is_empty() {
            if is_table_name(input) {
                faults.keep(table_name(input)).into_iter().for_each(|name| names.push(name));
            }
            skip_entry(input)?;
            input.parse::<Option<Token![,]>>()?;
        }
        Ok(())
    };
    let read = parser.parse2(list.tokens.clone());
    faults.keep(read);
    names
}

fn is_table_name(input: ParseStream<'_>) -> bool {
    input.fork().parse::<Ident>().is_ok_and(|key| key == "table_name")
}

fn table_name(input: ParseStream<'_>) -> Result<Path> {
    let key: Ident = input.parse()?;
    if let Ok(text) = value::<LitStr>(&input.fork(), &key, "", FORM) {
        let form = format!("#[diesel(table_name = {})]", text.value());
        return Err(fault(text, "expected a path, not a string", looks_like(form)));
    }
    let value = value(input, &key, "a path", FORM)?;
    end_of_entry(input, FORM)?;
    Ok(value)
}

/// Reads Diesel's old form, `#[table_name = "restaurants"]`.
pub(super) fn in_deprecated(attribute: &Attribute, faults: &mut Faults) -> Vec<Path> {
    let Meta::NameValue(MetaNameValue { value, .. }) = &attribute.meta else {
        return Vec::new();
    };
    let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = value else { return Vec::new() };
    let value = text.parse().map_err(|error| fault(text, error, looks_like(FORM)));
    faults.keep(value).into_iter().collect()
}

/// Applies Diesel's rule for a model that names no table: snake case, and an `s`.
///
/// Unlike Diesel's code it accepts names in any script, and raw ones.
pub(super) fn inferred(model: &Ident) -> Path {
    let mut name = String::new();
    for character in model.unraw().to_string().chars() {
        if character.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        if character.is_uppercase() || name.is_empty() {
            name.extend(character.to_lowercase());
        } else {
            name.push(character);
        }
    }
    name.push('s');
    identifier(&name, model.span()).into()
}

fn identifier(name: &str, span: Span) -> Ident {
    // A struct `A` has the table `as`.
    if syn::parse_str::<Ident>(name).is_ok() {
        Ident::new(name, span)
    } else {
        Ident::new_raw(name, span)
    }
}
