//! A model whose implementation can be expanded.

use quote::ToTokens;
use syn::{DeriveInput, Generics, Ident, Path, TypePath};

use super::args::Args;
use super::table_name;
use crate::diagnostic::{Faults, Refused, duplicate, fault};
use crate::root::Root;

pub(super) struct Model {
    pub(super) root: Root,
    pub(super) ident: Ident,
    pub(super) generics: Generics,
    pub(super) table: Path,
    /// The other tables of a model that Diesel's `Insertable` inserts into several.
    pub(super) more_tables: Vec<Path>,
    pub(super) parents: Vec<TypePath>,
}

impl Args {
    /// # Errors
    ///
    /// Keeps an implementation without parents if the table is known, so that the compiler does not
    /// report its absence as well.
    pub(super) fn checked(
        self,
        input: &DeriveInput,
        mut faults: Faults,
    ) -> Result<Model, Refused<Option<Box<Model>>>> {
        let is_struct = matches!(input.data, syn::Data::Struct(_));
        let root = Root::new(self.root);
        let mut tables = self.table_names.into_iter();
        let given = tables.next();
        let parents = self.parents.map(|given| given.value).unwrap_or_default();
        refuse_itself_and_repeated(&parents, &input.ident, &mut faults);

        let model = |table, more_tables, parents| Model {
            root,
            ident: input.ident.clone(),
            generics: input.generics.clone(),
            table,
            more_tables,
            parents,
        };
        let Some(found) = faults.found() else {
            let table = given.unwrap_or_else(|| table_name::inferred(&input.ident));
            return Ok(model(table, tables.collect(), parents));
        };
        let known = given.or_else(|| {
            // A wrong guess would be a second error for the same mistake.
            (is_struct && !self.table_unknown).then(|| table_name::inferred(&input.ident))
        });
        let kept = known
            .filter(|_| !self.root_unknown)
            .map(|table| Box::new(model(table, Vec::new(), Vec::new())));
        Err(Refused { faults: Some(found), kept })
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
