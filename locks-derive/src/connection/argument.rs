//! An argument that is a connection.

use proc_macro2::Ident;
use quote::{ToTokens, quote};
use syn::{
    Error, FnArg, GenericArgument, Pat, PatIdent, PatType, PathArguments, Result, Signature, Type,
    TypeParamBound,
};

use crate::diagnostic::{fault, looks_like};

pub(super) struct Argument {
    pub(super) name: Ident,
    /// `&mut T`, and not a value or a type that only the compiler knows to be a reference.
    pub(super) is_borrowed: bool,
}

impl Argument {
    /// The one named `conn`, or the only one that looks like a connection.
    pub(super) fn default_of(signature: &Signature, attribute: &str) -> Result<Self> {
        match bindings(signature).into_iter().find(|(binding, _)| binding.ident == "conn") {
            Some((_, Some(ty))) if is_pool(ty) => Err(pool(ty, signature)),
            Some((binding, ty)) => Ok(Self::new(binding, ty)),
            None => only_candidate(signature, attribute),
        }
    }

    /// The one of this name, if there is one.
    pub(super) fn named(name: &Ident, signature: &Signature) -> Result<Option<Self>> {
        let mut bindings = bindings(signature).into_iter();
        let Some((binding, ty)) = bindings.find(|(binding, _)| binding.ident == *name) else {
            return Ok(None);
        };
        if ty.is_some_and(is_pool) {
            return Err(pool(name, signature));
        }
        let mut argument = Self::new(binding, ty);
        // The argument, which may come from another macro, at the place of the attribute.
        argument.name.set_span(binding.ident.span().located_at(name.span()));
        Ok(Some(argument))
    }

    fn new(binding: &PatIdent, ty: Option<&Type>) -> Self {
        let is_plain = binding.by_ref.is_none() && binding.subpat.is_none();
        let is_borrowed = is_plain && ty.is_some_and(|ty| mutably_borrowed(ty).is_some());
        Self { name: binding.ident.clone(), is_borrowed }
    }
}

fn only_candidate(signature: &Signature, attribute: &str) -> Result<Argument> {
    let typed = signature.inputs.iter().filter_map(|input| match input {
        FnArg::Typed(input) => Some(input),
        FnArg::Receiver(_) => None,
    });
    let mut candidates = typed.clone().filter(|input| is_borrowed_connection(&input.ty));
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
        Pat::Ident(binding) => Ok(Argument::new(binding, Some(&found.ty))),
        pattern => Err(fault(pattern, "the connection has no name", "name it `conn`")),
    }
}

/// The fault of a function without a connection, by the argument that is most like one.
fn none(signature: &Signature, inputs: &[&PatType], attribute: &str) -> Error {
    let message = format!(
        "`{}` has no argument named `conn` or of a type like `&mut MysqlConnection`",
        signature.ident
    );
    let name = |input: &PatType| match &*input.pat {
        Pat::Ident(binding) => Some(binding.ident.clone()),
        _ => None,
    };
    if let Some(found) = inputs.iter().find(|input| is_pool(&input.ty)) {
        return pool(&found.ty, signature);
    }
    for input in inputs {
        let Type::Reference(reference) = unwrapped(&input.ty) else { continue };
        if is_connection(&reference.elem) {
            let name = name(input).map_or_else(|| "conn".to_owned(), |name| name.to_string());
            let elem = &reference.elem;
            let form = format!("{name}: &mut {}", quote!(#elem)).replace(" :: ", "::");
            let message = "a lock needs its connection as a mutable reference";
            return fault(&input.ty, message, looks_like(form));
        }
    }
    let borrowed = inputs.iter().find(|input| mutably_borrowed(&input.ty).is_some());
    let help = match borrowed.and_then(|input| name(input)) {
        Some(name) => format!("if it is `{name}`, say so: `#[{attribute}(…, conn = {name})]`"),
        None => format!(
            "take it as `conn: &mut MysqlConnection`, or say where it is: \
             `#[{attribute}(…, conn = self.conn)]`"
        ),
    };
    fault(&signature.ident, message, help)
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

fn mutably_borrowed(ty: &Type) -> Option<&Type> {
    match unwrapped(ty) {
        Type::Reference(reference) if reference.mutability.is_some() => Some(&reference.elem),
        _ => None,
    }
}

fn is_borrowed_connection(ty: &Type) -> bool {
    mutably_borrowed(ty).is_some_and(is_connection)
}

fn is_connection(ty: &Type) -> bool {
    last_name(ty).is_some_and(|name| name.to_string().ends_with("Connection"))
}

/// By its name, behind references and `Arc`.
fn is_pool(ty: &Type) -> bool {
    match unwrapped(ty) {
        Type::Reference(reference) => is_pool(&reference.elem),
        Type::Path(path) => path.path.segments.last().is_some_and(|last| {
            let arguments = match &last.arguments {
                PathArguments::AngleBracketed(arguments) if last.ident == "Arc" => arguments,
                _ => return last.ident.to_string().ends_with("Pool"),
            };
            arguments.args.iter().any(|argument| match argument {
                GenericArgument::Type(ty) => is_pool(ty),
                _ => false,
            })
        }),
        _ => false,
    }
}

/// The last name of a path, or of the first trait of `impl` and `dyn`.
fn last_name(ty: &Type) -> Option<&Ident> {
    let path = match unwrapped(ty) {
        Type::Path(path) => &path.path,
        Type::ImplTrait(hidden) => first_trait(hidden.bounds.iter())?,
        Type::TraitObject(object) => first_trait(object.bounds.iter())?,
        _ => return None,
    };
    path.segments.last().map(|segment| &segment.ident)
}

fn first_trait<'t>(mut bounds: impl Iterator<Item = &'t TypeParamBound>) -> Option<&'t syn::Path> {
    bounds.find_map(|bound| match bound {
        TypeParamBound::Trait(bound) => Some(&bound.path),
        _ => None,
    })
}

/// The type without parentheses, and without the invisible ones around `$ty:ty`.
fn unwrapped(ty: &Type) -> &Type {
    match ty {
        Type::Paren(inner) => unwrapped(&inner.elem),
        Type::Group(inner) => unwrapped(&inner.elem),
        ty => ty,
    }
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
