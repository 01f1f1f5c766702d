//! The derive's attributes, as the user wrote them.

use syn::parse::ParseStream;
use syn::{Attribute, Data, DeriveInput, Ident, Meta, Path, Result, TypePath};

use super::table_name;
use crate::attr::{Keyed, entries, expected, key, list, set, value};
use crate::diagnostic::{Faults, fault, looks_like, unknown};

pub(super) const PARENTS: &str = "#[lockable(parents(Place, Building))]";
const CRATE: &str = "#[lockable(crate = my_crate::diesel_locks)]";

#[derive(Default)]
pub(super) struct Args {
    pub(super) table_names: Vec<Path>,
    pub(super) parents: Option<Keyed<Vec<TypePath>>>,
    pub(super) root: Option<Keyed<Path>>,
    /// A table's name could not be read, so that the inferred one would be wrong.
    pub(super) table_unknown: bool,
    pub(super) root_unknown: bool,
}

impl Args {
    pub(super) fn read(input: &DeriveInput, faults: &mut Faults) -> Self {
        let mut args = Self::default();
        refuse_other_types(input, faults);
        for attribute in &input.attrs {
            let path = attribute.path();
            if path.is_ident("diesel") {
                args.read_table(attribute, table_name::in_diesel, faults);
            } else if path.is_ident("table_name") {
                args.read_table(attribute, table_name::in_deprecated, faults);
            } else if path.is_ident("lockable") {
                args.read_lockable(attribute, faults);
            }
        }
        refuse_on_fields(&input.data, faults);
        args
    }

    fn read_table(
        &mut self,
        attribute: &Attribute,
        read: fn(&Attribute, &mut Faults) -> Vec<Path>,
        faults: &mut Faults,
    ) {
        let mut here = Faults::default();
        self.table_names.extend(read(attribute, &mut here));
        if let Some(found) = here.found() {
            self.table_unknown = true;
            faults.add(found);
        }
    }

    fn read_lockable(&mut self, attribute: &Attribute, faults: &mut Faults) {
        let tokens = match &attribute.meta {
            Meta::List(list) if !list.tokens.is_empty() => list,
            meta => {
                let message = "expected keys in parentheses";
                return faults.add(fault(meta, message, looks_like(PARENTS)));
            }
        };
        let read = tokens.parse_args_with(|input: ParseStream<'_>| {
            entries(input, PARENTS, faults, |input, faults| self.read_entry(input, faults))
        });
        faults.keep(read);
    }

    fn read_entry(&mut self, input: ParseStream<'_>, faults: &mut Faults) -> Result<()> {
        let key = key(input, PARENTS)?;
        if key == "parents" {
            let value = list(input, &key, PARENTS, faults, parent)?;
            let help = format!("name all of them at once: `{PARENTS}`");
            set(&mut self.parents, Keyed { key, value }, &help)
        } else if key == "crate" {
            self.root_unknown = true;
            let value = value(input, &key, "a path", CRATE)?;
            set(&mut self.root, Keyed { key, value }, "remove one of them")?;
            self.root_unknown = false;
            Ok(())
        } else {
            Err(unknown(&key, "key", &["parents", "crate"], PARENTS))
        }
    }
}

fn parent(input: ParseStream<'_>) -> Result<TypePath> {
    input.fork().parse::<TypePath>().map_err(|_| expected("a model's type", input, PARENTS))?;
    input.parse()
}

/// The compiler allows a derive's attributes on fields too.
fn refuse_on_fields(data: &Data, faults: &mut Faults) {
    let Data::Struct(data) = data else { return };
    for attribute in data.fields.iter().flat_map(|field| &field.attrs) {
        if attribute.path().is_ident("lockable") {
            let message = "`lockable` is an attribute for the struct, not for its fields";
            let help = looks_like(format!("{PARENTS} struct Restaurant"));
            faults.add(fault(attribute.path(), message, help));
        }
    }
}

fn refuse_other_types(input: &DeriveInput, faults: &mut Faults) {
    let help = looks_like("#[derive(LockableTable)] struct Restaurant");
    let message = |what: &str, name: &Ident| {
        format!("`LockableTable` can only be derived for structs, but `{name}` is {what}")
    };
    match &input.data {
        Data::Struct(_) => {}
        Data::Enum(data) => {
            faults.add(fault(data.enum_token, message("an enum", &input.ident), help));
        }
        Data::Union(data) => {
            faults.add(fault(data.union_token, message("a union", &input.ident), help));
        }
    }
}
