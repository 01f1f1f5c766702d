//! Types that only the compiler can name.

use syn::{
    AngleBracketedGenericArguments, GenericArgument, Path, PathArguments, ReturnType, Type,
    TypeInfer, TypeParamBound, token,
};

/// Writes `_` for each `impl Trait`, which an expression cannot name: the compiler infers the type.
///
/// By hand, since syn's `Fold` would be most of what this crate costs to compile.
pub(super) fn infer(ty: &mut Type) {
    match ty {
        Type::ImplTrait(hidden) => {
            let underscore_token = token::Underscore(hidden.impl_token.span);
            *ty = Type::Infer(TypeInfer { underscore_token });
        }
        Type::Array(array) => infer(&mut array.elem),
        Type::Group(group) => infer(&mut group.elem),
        Type::Paren(paren) => infer(&mut paren.elem),
        Type::Ptr(pointer) => infer(&mut pointer.elem),
        Type::Reference(reference) => infer(&mut reference.elem),
        Type::Slice(slice) => infer(&mut slice.elem),
        Type::Tuple(tuple) => tuple.elems.iter_mut().for_each(infer),
        Type::Path(named) => {
            if let Some(qself) = &mut named.qself {
                infer(&mut qself.ty);
            }
            in_path(&mut named.path);
        }
        Type::TraitObject(object) => {
            for bound in &mut object.bounds {
                if let TypeParamBound::Trait(bound) = bound {
                    in_path(&mut bound.path);
                }
            }
        }
        _ => {}
    }
}

fn in_path(path: &mut Path) {
    for segment in &mut path.segments {
        match &mut segment.arguments {
            PathArguments::None => {}
            PathArguments::AngleBracketed(arguments) => in_arguments(arguments),
            PathArguments::Parenthesized(function) => {
                function.inputs.iter_mut().for_each(infer);
                if let ReturnType::Type(_, output) = &mut function.output {
                    infer(output);
                }
            }
        }
    }
}

fn in_arguments(arguments: &mut AngleBracketedGenericArguments) {
    for argument in &mut arguments.args {
        match argument {
            GenericArgument::Type(ty) => infer(ty),
            GenericArgument::AssocType(associated) => infer(&mut associated.ty),
            _ => {}
        }
    }
}
