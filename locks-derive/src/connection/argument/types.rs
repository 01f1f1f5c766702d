//! What the type of an argument looks like, as far as its tokens show.

use proc_macro2::Ident;
use syn::{GenericArgument, PathArguments, Signature, Type, TypeParamBound, WherePredicate};

/// Common types that are no aliases of a connection.
const OTHERS: [&str; 9] = [
    "String", "Vec", "VecDeque", "HashMap", "HashSet", "BTreeMap", "BTreeSet", "Option", "PathBuf",
];

/// Types through which frameworks and threads share a pool.
const SHARING: [&str; 6] = ["Arc", "Rc", "Data", "State", "Extension", "LazyLock"];

pub(super) fn mutably_borrowed(ty: &Type) -> Option<&Type> {
    match unwrapped(ty) {
        Type::Reference(reference) if reference.mutability.is_some() => Some(&reference.elem),
        _ => None,
    }
}

pub(super) fn is_borrowed_connection(ty: &Type, signature: &Signature) -> bool {
    mutably_borrowed(ty).is_some_and(|ty| is_connection(ty, signature))
}

/// By its name, or that of a trait that it must have.
pub(super) fn is_connection(ty: &Type, signature: &Signature) -> bool {
    let ends_so = |name: &&Ident| name.to_string().ends_with("Connection");
    last_name(ty).is_some_and(|name| ends_so(&name))
        || bounds(ty, signature).is_some_and(|bounds| bounds.iter().any(ends_so))
}

/// Returns the last names of the traits that a type parameter of the function must have, `impl …`
/// too.
pub(super) fn bounds<'s>(ty: &'s Type, signature: &'s Signature) -> Option<Vec<&'s Ident>> {
    let mut found: Vec<&TypeParamBound> = Vec::new();
    match unwrapped(ty) {
        Type::ImplTrait(hidden) => found.extend(&hidden.bounds),
        Type::Path(path) => {
            let name = path.path.get_ident()?;
            let mut parameters = signature.generics.type_params();
            found.extend(&parameters.find(|parameter| parameter.ident == *name)?.bounds);
            let clauses = signature.generics.where_clause.iter();
            for predicate in clauses.flat_map(|clause| &clause.predicates) {
                match predicate {
                    WherePredicate::Type(of) if last_name(&of.bounded_ty) == Some(name) => {
                        found.extend(&of.bounds);
                    }
                    _ => {}
                }
            }
        }
        _ => return None,
    }
    let last = |bound: &'s TypeParamBound| match bound {
        TypeParamBound::Trait(bound) => bound.path.segments.last().map(|last| &last.ident),
        _ => None,
    };
    Some(found.into_iter().filter_map(last).collect())
}

/// By its name, behind references and the types of `SHARING`.
pub(super) fn is_pool(ty: &Type) -> bool {
    match unwrapped(ty) {
        Type::Reference(reference) => is_pool(&reference.elem),
        Type::Path(path) => path.path.segments.last().is_some_and(|last| {
            let arguments = match &last.arguments {
                PathArguments::AngleBracketed(arguments)
                    if SHARING.iter().any(|sharing| last.ident == sharing) =>
                {
                    arguments
                }
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

/// Returns the last name of a path, or of the first trait of `impl` and `dyn`.
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

/// Returns the type without parentheses, and without the invisible ones around `$ty:ty`.
pub(super) fn unwrapped(ty: &Type) -> &Type {
    match ty {
        Type::Paren(inner) => unwrapped(&inner.elem),
        Type::Group(inner) => unwrapped(&inner.elem),
        ty => ty,
    }
}

/// Returns whether it may be an alias of a connection.
pub(super) fn may_be_connection(ty: &Type) -> bool {
    let Type::Path(_) = unwrapped(ty) else { return false };
    last_name(ty).is_some_and(|name| {
        // Numbers and the like begin with a small letter.
        let text = name.to_string();
        text.starts_with(char::is_uppercase) && !OTHERS.contains(&&*text)
    })
}
