//! An argument that is a connection.

use proc_macro2::Ident;
use quote::quote;
use syn::{Expr, FnArg, Pat, PatIdent, Receiver, Signature, Type};

use crate::diagnostic::{Faults, fault};

#[derive(Clone)]
pub(crate) struct Argument {
    pub(super) name: Ident,
    pub(super) kind: Kind,
}

#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// `&mut T`: the body gets a borrow of it, which it may move.
    Borrowed,
    /// The connection itself.
    Owned,
    /// What derefs to it: a pooled connection, or what only the compiler knows to be a reference.
    Pointer,
}

impl Argument {
    /// The one that is named `conn`, else the only one that looks like a connection.
    pub(super) fn default_of(
        signature: &Signature,
        attribute: &str,
        faults: &mut Faults,
    ) -> Option<Self> {
        let named = bindings(signature).into_iter().find(|(binding, _)| binding.ident == "conn");
        match named {
            Some((binding, ty)) => Some(Self::new(binding, ty)),
            None => only_candidate(signature, attribute, faults),
        }
    }

    /// The one that an expression names.
    pub(super) fn given(given: &Expr, signature: &Signature) -> Option<Self> {
        let Expr::Path(path) = given else { return None };
        let name = path.path.get_ident()?;
        let kind = if name == "self" {
            kind_of_self(signature.receiver()?)
        } else {
            let mut bindings = bindings(signature).into_iter();
            let (binding, ty) = bindings.find(|(binding, _)| binding.ident == *name)?;
            Self::new(binding, ty).kind
        };
        Some(Self { name: name.clone(), kind })
    }

    fn new(binding: &PatIdent, ty: Option<&Type>) -> Self {
        let is_plain = binding.by_ref.is_none() && binding.subpat.is_none();
        let kind = ty.filter(|_| is_plain).map_or(Kind::Pointer, kind_of_type);
        Self { name: binding.ident.clone(), kind }
    }
}

fn only_candidate(signature: &Signature, attribute: &str, faults: &mut Faults) -> Option<Argument> {
    let mut candidates = signature.inputs.iter().filter_map(|input| match input {
        FnArg::Typed(input) if is_borrowed_connection(&input.ty) => Some(input),
        _ => None,
    });
    let Some(found) = candidates.next() else {
        let message = format!("`{}` has no argument that is a connection", signature.ident);
        let help = format!(
            "take it as `conn: &mut MysqlConnection`, or say where it is: \
             `#[{attribute}(…, conn = self.conn)]`"
        );
        faults.add(fault(&signature.ident, message, help));
        return None;
    };
    if let Some(second) = candidates.next() {
        let (first, second) = (&found.pat, &second.pat);
        let message = format!("`{}` has more than one connection", signature.ident);
        let first = quote!(#first).to_string();
        let help = format!("say which one takes the lock: `#[{attribute}(…, conn = {first})]`");
        faults.add(fault(second, message, help));
        return None;
    }
    match &*found.pat {
        Pat::Ident(binding) => Some(Argument::new(binding, Some(&found.ty))),
        pattern => {
            let message = "the connection has no name";
            faults.add(fault(pattern, message, "name it `conn`"));
            None
        }
    }
}

fn kind_of_self(receiver: &Receiver) -> Kind {
    match (&receiver.reference, receiver.colon_token) {
        (Some(_), _) => Kind::Borrowed,
        (None, Some(_)) => Kind::Pointer,
        (None, None) => Kind::Owned,
    }
}

fn kind_of_type(ty: &Type) -> Kind {
    match ty {
        Type::Reference(reference) if reference.mutability.is_some() => Kind::Borrowed,
        Type::Paren(inner) => kind_of_type(&inner.elem),
        Type::Group(inner) => kind_of_type(&inner.elem),
        ty if last_name(ty).is_some_and(|name| name == "MysqlConnection") => Kind::Owned,
        _ => Kind::Pointer,
    }
}

fn is_borrowed_connection(ty: &Type) -> bool {
    match ty {
        Type::Reference(reference) => {
            reference.mutability.is_some()
                && last_name(&reference.elem)
                    .is_some_and(|name| name.to_string().ends_with("Connection"))
        }
        Type::Paren(inner) => is_borrowed_connection(&inner.elem),
        Type::Group(inner) => is_borrowed_connection(&inner.elem),
        _ => false,
    }
}

fn last_name(ty: &Type) -> Option<&Ident> {
    match ty {
        Type::Path(path) => path.path.segments.last().map(|segment| &segment.ident),
        Type::Paren(inner) => last_name(&inner.elem),
        Type::Group(inner) => last_name(&inner.elem),
        _ => None,
    }
}

/// All that the arguments bind; with the type where it is a whole argument.
fn bindings(signature: &Signature) -> Vec<(&PatIdent, Option<&Type>)> {
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
