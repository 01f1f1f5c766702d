//! The attribute's arguments, as the user wrote them.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::parse::ParseStream;
use syn::{Expr, Ident, LitStr, Result, Token};

use crate::attr::{Keyed, entries, expected, is_key_of, is_named, key, set, value};
use crate::diagnostic::{Faults, duplicate, fault, looks_like};
use crate::options::{self, Options, TWICE};

pub(crate) const ATTRIBUTE: &str = "with_lock";
pub(crate) const FORM: &str = "#[with_lock(\"nightly-report\")]";
pub(super) const VALID_OPTIONS: [&str; 12] = [
    "timeout",
    "without_timeout",
    "if_busy",
    "hold_at_least",
    "conn",
    "transaction",
    "in_database",
    "server_wide",
    "shortened",
    "fenced",
    "fenced_in",
    "crate",
];

#[derive(Default)]
pub(crate) struct Args {
    pub(super) name: Option<LitStr>,
    /// For `format!`.
    pub(super) arguments: Vec<FormatArgument>,
    pub(crate) options: Options,
    pub(super) in_database: Option<Keyed<Expr>>,
    pub(super) fenced_in: Option<Keyed<Expr>>,
    pub(super) if_busy: Option<Keyed<Expr>>,
    pub(super) hold_at_least: Option<Keyed<Expr>>,
    pub(super) without_timeout: Option<Ident>,
    pub(crate) transaction: Option<Ident>,
    pub(super) server_wide: Option<Ident>,
    pub(super) shortened: Option<Ident>,
    pub(super) fenced: Option<Ident>,
}

pub(super) struct FormatArgument {
    pub(super) name: Option<Ident>,
    pub(super) value: Expr,
}

impl Args {
    pub(crate) fn read(input: ParseStream<'_>, faults: &mut Faults) -> Result<Self> {
        let mut args = Self::default();
        let mut is_first = true;
        entries(input, FORM, faults, |input, _| {
            if std::mem::take(&mut is_first) {
                args.read_name(input)
            } else {
                args.read_entry(input)
            }
        })?;
        Ok(args)
    }

    fn read_name(&mut self, input: ParseStream<'_>) -> Result<()> {
        if input.peek(LitStr) {
            self.name = Some(input.parse()?);
            return Ok(());
        }
        if is_option(input) || self.is_flag(input) {
            let option = key(&input.fork(), FORM)?;
            self.read_entry(input)?;
            let message = "the lock has no name, which comes first";
            return Err(fault(option, message, looks_like(FORM)));
        }
        let value = input
            .fork()
            .parse::<Expr>()
            .map_err(|_| expected("the lock's name, a string literal", input, FORM))?;
        let message = "the lock's name must be a string literal, like that of `format!`";
        Err(fault(&value, message, looks_like(as_literal(&value))))
    }

    fn read_entry(&mut self, input: ParseStream<'_>) -> Result<()> {
        if is_option(input) {
            let key = key(input, FORM)?;
            return self.read_option(key, input);
        }
        if self.is_flag(input) {
            let key = key(input, FORM)?;
            return self.read_flag(key, input);
        }
        let name = if is_named(input) {
            let name = input.call(Ident::parse_any)?;
            input.parse::<Token![=]>()?;
            Some(name)
        } else {
            None
        };
        let value = input.parse().map_err(|_| expected("an argument or an option", input, FORM))?;
        self.arguments.push(FormatArgument { name, value });
        Ok(())
    }

    fn read_option(&mut self, key: Ident, input: ParseStream<'_>) -> Result<()> {
        if key == "in_database" {
            let value = value(input, &key, "the database's name", "in_database = \"shop\"")?;
            set(&mut self.in_database, Keyed { key, value }, TWICE)
        } else if key == "fenced_in" {
            let what = "the name of the database with the tokens";
            let value = value(input, &key, what, "fenced_in = \"shop\"")?;
            set(&mut self.fenced_in, Keyed { key, value }, TWICE)
        } else if key == "if_busy" {
            let what = "the value to return if the lock is busy";
            let value = value(input, &key, what, "if_busy = Ok(())")?;
            set(&mut self.if_busy, Keyed { key, value }, TWICE)
        } else if key == "hold_at_least" {
            let what = "a number of seconds or a `Duration`";
            let value = value(input, &key, what, "hold_at_least = 10")?;
            set(&mut self.hold_at_least, Keyed { key, value }, TWICE)
        } else {
            self.options.read(key, input)
        }
    }

    fn read_flag(&mut self, key: Ident, input: ParseStream<'_>) -> Result<()> {
        if input.peek(Token![=]) {
            let help = looks_like(format!("#[with_lock(\"nightly-report\", {key})]"));
            return Err(fault(key.clone(), format!("`{key}` takes no value"), help));
        }
        let Some(flag) = self.flag(&key) else { return Ok(()) };
        if flag.is_some() {
            return Err(duplicate(&key, &key, TWICE));
        }
        *flag = Some(key);
        Ok(())
    }

    fn flag(&mut self, name: &Ident) -> Option<&mut Option<Ident>> {
        match name.to_string().as_str() {
            "without_timeout" => Some(&mut self.without_timeout),
            "transaction" => Some(&mut self.transaction),
            "server_wide" => Some(&mut self.server_wide),
            "shortened" => Some(&mut self.shortened),
            "fenced" => Some(&mut self.fenced),
            _ => None,
        }
    }

    /// Returns whether a flag comes next, and not an argument that begins like one:
    /// `transaction.id`.
    fn is_flag(&mut self, input: ParseStream<'_>) -> bool {
        let ahead = input.fork();
        let name = ahead.call(Ident::parse_any);
        let ends = ahead.is_empty() || ahead.peek(Token![,]) || is_named(input);
        ends && name.is_ok_and(|name| self.flag(&name).is_some())
    }
}

fn is_option(input: ParseStream<'_>) -> bool {
    is_key_of(input, &options::NAMES)
        || is_key_of(input, &["in_database", "fenced_in", "if_busy", "hold_at_least"])
}

/// Returns the right form of a name that is not a literal.
fn as_literal(name: &Expr) -> String {
    match name {
        Expr::Path(path) => {
            let name = path.to_token_stream().to_string().replace(' ', "");
            match path.path.get_ident() {
                Some(_) => format!("#[with_lock(\"{{{name}}}\")]"),
                None => format!("#[with_lock(\"{{}}\", {name})]"),
            }
        }
        Expr::Macro(call) if call.mac.path.is_ident("format") => {
            format!("#[with_lock({})]", call.mac.tokens)
        }
        _ => FORM.to_owned(),
    }
}

impl FormatArgument {
    /// Returns a name that stands alone.
    pub(super) fn word(&self) -> Option<&Ident> {
        match &self.value {
            Expr::Path(path) => path.path.get_ident(),
            _ => None,
        }
    }

    pub(super) fn as_text(&self) -> String {
        let text = self.to_token_stream().to_string();
        // Tokens do not know the spaces that were between them.
        text.replace(" . ", ".").replace("& ", "&").replace(" (", "(")
    }
}

impl ToTokens for FormatArgument {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let Self { name, value } = self;
        let equals = name.as_ref().map(|_| quote!(=));
        tokens.extend(quote!(#name #equals #value));
    }
}
