//! An argument that is a connection.

mod types;

use proc_macro2::Ident;
use quote::{ToTokens, quote};
use syn::{Error, FnArg, Pat, PatIdent, PatType, Result, Signature, Type};

use self::types::{
    bounds, is_borrowed_connection, is_connection, is_pool, may_be_connection, mutably_borrowed,
    unwrapped,
};

use crate::diagnostic::{fault, looks_like};

pub(super) struct Argument {
    pub(super) name: Ident,
    /// `&mut T`, and not a value or a type that only the compiler knows to be a reference.
    pub(super) is_borrowed: bool,
    /// `&mut C`, where `C` is a type parameter that dereferences to nothing.
    pub(super) is_generic: bool,
}

impl Argument {
    /// Returns the one named `conn`, or the only one that looks like a connection.
    pub(super) fn default_of(signature: &Signature, attribute: &str) -> Result<Self> {
        match bindings(signature).into_iter().find(|(binding, _)| binding.ident == "conn") {
            Some((_, Some(ty))) if is_pool(ty) => Err(pool(ty, signature)),
            Some((binding, ty)) => Ok(Self::new(binding, ty, signature)),
            None => only_candidate(signature, attribute),
        }
    }

    /// Returns the one of this name, if there is one.
    pub(super) fn named(name: &Ident, signature: &Signature) -> Result<Option<Self>> {
        let mut bindings = bindings(signature).into_iter();
        let Some((binding, ty)) = bindings.find(|(binding, _)| binding.ident == *name) else {
            return Ok(None);
        };
        if ty.is_some_and(is_pool) {
            return Err(pool(name, signature));
        }
        let mut argument = Self::new(binding, ty, signature);
        // The argument, which may come from another macro, at the place of the attribute.
        argument.name.set_span(binding.ident.span().located_at(name.span()));
        Ok(Some(argument))
    }

    fn new(binding: &PatIdent, ty: Option<&Type>, signature: &Signature) -> Self {
        let is_plain = binding.by_ref.is_none() && binding.subpat.is_none();
        let borrowed = ty.and_then(mutably_borrowed).filter(|_| is_plain);
        let bounds = borrowed.and_then(|ty| bounds(ty, signature));
        Self {
            name: binding.ident.clone(),
            is_borrowed: borrowed.is_some(),
            is_generic: bounds.is_some_and(|bounds| bounds.iter().all(|name| *name != "DerefMut")),
        }
    }
}

fn only_candidate(signature: &Signature, attribute: &str) -> Result<Argument> {
    let typed = signature.inputs.iter().filter_map(|input| match input {
        FnArg::Typed(input) => Some(input),
        FnArg::Receiver(_) => None,
    });
    let mut candidates = typed.clone().filter(|input| is_borrowed_connection(&input.ty, signature));
    let Some(found) = candidates.next() else {
        return Err(none(signature, &typed.collect::<Vec<_>>(), attribute));
    };
    if let Some(second) = candidates.next() {
        let (first, second) = (&found.pat, &second.pat);
        let message = format!("`{}` has more than one connection", signature.ident);
        let first = quote!(#first).to_string();
        let help = format!("say which one acquires the lock: `#[{attribute}(…, conn = {first})]`");
        return Err(fault(second, message, help));
    }
    match &*found.pat {
        Pat::Ident(binding) => Ok(Argument::new(binding, Some(&found.ty), signature)),
        pattern => Err(fault(pattern, "the connection has no name", "name it `conn`")),
    }
}

/// Returns the fault of a function without a connection, by the argument that is most like one.
fn none(signature: &Signature, inputs: &[&PatType], attribute: &str) -> Error {
    let message = format!(
        "`{}` has no argument named `conn` or of a type like `&mut MysqlConnection`",
        signature.ident
    );
    if let Some(found) = inputs.iter().find(|input| is_pool(&input.ty)) {
        return pool(&found.ty, signature);
    }
    for input in inputs {
        let Type::Reference(reference) = unwrapped(&input.ty) else { continue };
        if is_connection(&reference.elem, signature) {
            let name = name(input).map_or_else(|| "conn".to_owned(), ToString::to_string);
            let elem = &reference.elem;
            let form = format!("{name}: &mut {}", quote!(#elem)).replace(" :: ", "::");
            let message = "a lock needs its connection as a mutable reference";
            return fault(&input.ty, message, looks_like(form));
        }
    }
    let help = match &guesses(inputs)[..] {
        [] => format!(
            "take it as `conn: &mut MysqlConnection`, or say where it is: \
             `#[{attribute}(…, conn = self.conn)]`"
        ),
        [name] => format!("if it is `{name}`, say so: `#[{attribute}(…, conn = {name})]`"),
        [first, ..] => {
            format!("if it is one of the arguments, say which: `#[{attribute}(…, conn = {first})]`")
        }
    };
    fault(&signature.ident, message, help)
}

/// Returns the arguments that may be a connection under an alias.
fn guesses<'i>(inputs: &[&'i PatType]) -> Vec<&'i Ident> {
    let borrowed = |input: &&&PatType| mutably_borrowed(&input.ty).is_some_and(may_be_connection);
    let owned = |input: &&&PatType| {
        matches!(&*input.pat, Pat::Ident(binding) if binding.mutability.is_some())
            && may_be_connection(&input.ty)
    };
    let found: Vec<_> = inputs.iter().filter(borrowed).filter_map(|input| name(input)).collect();
    if found.is_empty() {
        return inputs.iter().filter(owned).filter_map(|input| name(input)).collect();
    }
    found
}

fn name(input: &PatType) -> Option<&Ident> {
    match &*input.pat {
        Pat::Ident(binding) => Some(&binding.ident),
        _ => None,
    }
}

fn pool(at: impl ToTokens, signature: &Signature) -> Error {
    let message = "a pool cannot hold a lock, only one of its connections can";
    let help = format!(
        "take a connection from the pool first, and pass it: \
         `fn {}(conn: &mut MysqlConnection, …)`",
        signature.ident
    );
    fault(at, message, help)
}

/// Everything that the arguments bind, with the type of those that are a whole argument.
pub(crate) fn bindings(signature: &Signature) -> Vec<(&PatIdent, Option<&Type>)> {
    let mut found = Vec::new();
    for input in &signature.inputs {
        let FnArg::Typed(input) = input else { continue };
        if let Pat::Ident(binding) = &*input.pat {
            found.push((binding, Some(&*input.ty)));
        } else {
            bindings_inside(&input.pat, &mut |binding| found.push((binding, None)));
        }
    }
    found
}

/// By hand, since syn's `Fold` would be most of what this crate costs to compile.
fn bindings_inside<'p>(pattern: &'p Pat, found: &mut dyn FnMut(&'p PatIdent)) {
    match pattern {
        Pat::Ident(binding) => {
            found(binding);
            if let Some((_, inner)) = &binding.subpat {
                bindings_inside(inner, found);
            }
        }
        Pat::Paren(inner) => bindings_inside(&inner.pat, found),
        Pat::Reference(inner) => bindings_inside(&inner.pat, found),
        Pat::Type(inner) => bindings_inside(&inner.pat, found),
        Pat::Or(or) => or.cases.iter().for_each(|inner| bindings_inside(inner, found)),
        Pat::Slice(slice) => slice.elems.iter().for_each(|inner| bindings_inside(inner, found)),
        Pat::Tuple(tuple) => tuple.elems.iter().for_each(|inner| bindings_inside(inner, found)),
        Pat::TupleStruct(tuple) => {
            tuple.elems.iter().for_each(|inner| bindings_inside(inner, found));
        }
        Pat::Struct(fields) => {
            fields.fields.iter().for_each(|field| bindings_inside(&field.pat, found));
        }
        _ => {}
    }
}
