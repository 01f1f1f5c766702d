//! The attribute's arguments, as the user wrote them.

use proc_macro2::{Group, TokenStream};
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{Ident, LitStr, Result, Token, TypePath, token};

use crate::attr::{Keyed, entries, expected, key, list, set};
use crate::diagnostic::{Faults, fault, fault_at, looks_like, unknown};
use crate::options::{self, Options};

pub(crate) const ATTRIBUTE: &str = "with_table_lock";
pub(crate) const FORM: &str = "#[with_table_lock(read(Customer), write(Restaurant, \"log\"))]";
const ALIAS_FORM: &str = "read(Place as \"p\")";

#[derive(Default)]
pub(crate) struct Args {
    pub(super) read: Option<Keyed<Vec<Table>>>,
    pub(super) write: Option<Keyed<Vec<Table>>>,
    pub(crate) options: Options,
}

pub(super) struct Table {
    pub(super) source: Source,
    pub(super) alias: Option<LitStr>,
}

pub(super) enum Source {
    Model(TypePath),
    Named(LitStr),
    /// In another database.
    InDatabase(LitStr, LitStr),
}

impl Args {
    pub(crate) fn read(input: ParseStream<'_>, faults: &mut Faults) -> Result<Self> {
        let mut args = Self::default();
        let start = input.span();
        let mut is_missing = true;
        entries(input, FORM, faults, |input, faults| {
            let is_tables = is_level(input);
            let read = args.read_entry(input, faults);
            // An entry that could not be read may have been meant for tables.
            is_missing &= !is_tables && read.is_ok();
            read
        })?;
        if is_missing {
            faults.add(fault_at(start, "the lock has no tables", looks_like(FORM)));
        }
        Ok(args)
    }

    fn read_entry(&mut self, input: ParseStream<'_>, faults: &mut Faults) -> Result<()> {
        if is_level(input) {
            let key = key(input, FORM)?;
            let level = if key == "read" { &mut self.read } else { &mut self.write };
            let value = list(input, &key, FORM, faults, table)?;
            let help = format!("name all tables of a level at once: `{key}(Customer, Restaurant)`");
            return set(level, Keyed { key, value }, &help);
        }
        if !input.peek(Ident::peek_any) {
            return Err(expected("`read(…)`, `write(…)` or an option", input, FORM));
        }
        let key = key(input, FORM)?;
        if options::NAMES.iter().any(|option| key == option) {
            return self.options.read(key, input);
        }
        if key == "transaction" {
            let message = "a table lock takes no option `transaction`";
            return Err(fault(key, message, "remove it: a table lock is always a transaction"));
        }
        let valid = [&["read", "write"], &options::NAMES[..]].concat();
        Err(unknown(&key, "option", &valid, FORM))
    }

    /// Returns the key of a list of tables, for faults of the whole attribute.
    pub(crate) fn key(&self) -> Option<&Ident> {
        [&self.read, &self.write].into_iter().flatten().map(|level| &level.key).next()
    }
}

fn is_level(input: ParseStream<'_>) -> bool {
    input.fork().parse::<Ident>().is_ok_and(|key| key == "read" || key == "write")
}

fn table(input: ParseStream<'_>) -> Result<Table> {
    let source = source(input)?;
    let alias = if input.peek(Token![as]) {
        input.parse::<Token![as]>()?;
        if !input.peek(LitStr) {
            return Err(expected("an alias, a string literal", input, ALIAS_FORM));
        }
        Some(input.parse()?)
    } else {
        None
    };
    Ok(Table { source, alias })
}

fn source(input: ParseStream<'_>) -> Result<Source> {
    if input.peek(LitStr) {
        return Ok(Source::Named(input.parse()?));
    }
    if input.peek(token::Paren) {
        return in_database(&input.parse()?);
    }
    input.fork().parse::<TypePath>().map_err(|_| {
        expected("a model's type, or a table's name as a string literal", input, FORM)
    })?;
    Ok(Source::Model(input.parse()?))
}

fn in_database(pair: &Group) -> Result<Source> {
    let names = Punctuated::<LitStr, Token![,]>::parse_terminated.parse2(pair.stream());
    let names = names.map(|names| names.into_iter().collect::<Vec<_>>());
    if let Ok([database, table]) = names.as_deref() {
        return Ok(Source::InDatabase(database.clone(), table.clone()));
    }
    let message = "a table of another database is named by two string literals";
    Err(fault(pair, message, looks_like("read((\"other_db\", \"legacy_log\"))")))
}

impl ToTokens for Table {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let Self { source, alias } = self;
        source.to_tokens(tokens);
        if let Some(alias) = alias {
            tokens.extend(quote!(as #alias));
        }
    }
}

impl ToTokens for Source {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        match self {
            Self::Model(model) => model.to_tokens(tokens),
            Self::Named(table) => table.to_tokens(tokens),
            Self::InDatabase(database, table) => tokens.extend(quote!((#database, #table))),
        }
    }
}
