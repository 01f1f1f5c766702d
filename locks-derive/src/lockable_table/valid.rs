//! What can be expanded. All that can fail has failed before.

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::{DeriveInput, Ident, Path, TypePath};

use super::ast::{Ast, refuse_other_types};
use super::table;
use crate::attr::root;
use crate::diagnostic::{Faults, duplicate, fault};
use crate::fallback;

pub(super) struct Model {
    pub(super) root: TokenStream,
    pub(super) table: Path,
    pub(super) parents: Vec<TypePath>,
}

impl Model {
    /// # Errors
    ///
    /// All faults, as tokens, with an implementation in place of the real one where its table is
    /// known, so that nothing else complains that there is none.
    pub(super) fn check(input: &DeriveInput) -> Result<Self, TokenStream> {
        let mut faults = Faults::default();
        refuse_other_types(input, &mut faults);
        let ast = Ast::read(input, &mut faults);
        refuse_repeated_tables(&ast, &mut faults);

        let is_struct = matches!(input.data, syn::Data::Struct(_));
        let root = root(ast.root.as_ref());
        let given = ast.table_names.into_iter().next().map(|given| given.value);
        let parents = ast.parents.map(|given| given.value).unwrap_or_default();
        refuse_itself_and_repeated(&parents, &input.ident, &mut faults);

        let Some(error) = faults.found() else {
            let table = given.unwrap_or_else(|| table::inferred(&input.ident));
            return Ok(Self { root, table, parents });
        };
        let known = given.or_else(|| {
            // A wrong guess would be a second error for the same mistake.
            (is_struct && !ast.table_unknown).then(|| table::inferred(&input.ident))
        });
        let stub = known
            .filter(|_| !ast.root_unknown)
            .map(|table| Self { root, table, parents: Vec::new() }.implementation(input));
        Err(fallback::errors_with(Some(&error), stub))
    }
}

fn refuse_repeated_tables(ast: &Ast, faults: &mut Faults) {
    for again in ast.table_names.iter().skip(1) {
        let help = "a model is locked with the rows of one table: remove this one";
        faults.add(duplicate(&again.key, "table_name", help));
    }
}

fn refuse_itself_and_repeated(parents: &[TypePath], model: &Ident, faults: &mut Faults) {
    let mut seen = Vec::new();
    for parent in parents {
        let tokens = parent.to_token_stream().to_string();
        if is_itself(parent, model) {
            let help = "leave it out: a model's own table is always locked";
            faults.add(fault(parent, format!("`{model}` is named as its own parent"), help));
        } else if seen.contains(&tokens) {
            faults.add(duplicate(parent, &tokens, "remove one of them"));
        } else {
            seen.push(tokens);
        }
    }
}

fn is_itself(parent: &TypePath, model: &Ident) -> bool {
    parent.qself.is_none()
        && parent.path.leading_colon.is_none()
        && parent.path.segments.len() == 1
        && parent.path.segments.iter().all(|name| name.ident == *model || name.ident == "Self")
}
