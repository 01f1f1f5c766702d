//! What the user wrote.

use quote::ToTokens;
use syn::ext::IdentExt;
use syn::parse::ParseStream;
use syn::{Expr, Ident, LitStr, Result, Token};

use crate::attr::{entries, expected, key};
use crate::diagnostic::{Faults, duplicate, fault, looks_like};
use crate::options::{self, Options};

pub(crate) const ATTRIBUTE: &str = "with_lock";
pub(crate) const FORM: &str = "#[with_lock(\"nightly-report\")]";
const FLAGS: [&str; 2] = ["transaction", "server_wide"];

#[derive(Default)]
pub(super) struct Args {
    pub(super) name: Option<LitStr>,
    /// For `format!`.
    pub(super) arguments: Vec<FormatArgument>,
    pub(super) options: Options,
    pub(super) transaction: Option<Ident>,
    pub(super) server_wide: Option<Ident>,
}

pub(super) struct FormatArgument {
    pub(super) name: Option<Ident>,
    pub(super) value: Expr,
}

impl Args {
    pub(super) fn read(input: ParseStream<'_>, faults: &mut Faults) -> Result<Self> {
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
        if is_option(input) || is_flag(input) {
            let option = key(&input.fork(), FORM)?;
            self.read_entry(input)?;
            let message = "the lock has no name, which comes first";
            return Err(fault(option, message, looks_like(FORM)));
        }
        let value = input
            .fork()
            .parse::<Expr>()
            .map_err(|_| expected("the lock's name, a string literal", input, FORM))?;
        let message = "the lock's name is a string literal, as of `format!`";
        Err(fault(&value, message, looks_like(as_literal(&value))))
    }

    fn read_entry(&mut self, input: ParseStream<'_>) -> Result<()> {
        if is_option(input) {
            let key = key(input, FORM)?;
            return self.options.read(key, input);
        }
        if is_flag(input) {
            let key = key(input, FORM)?;
            if input.peek(Token![=]) {
                let help = looks_like(format!("#[with_lock(\"nightly-report\", {key})]"));
                return Err(fault(key.clone(), format!("`{key}` takes no value"), help));
            }
            let flag =
                if key == "transaction" { &mut self.transaction } else { &mut self.server_wide };
            if flag.is_some() {
                return Err(duplicate(&key, &key, "remove one of them"));
            }
            *flag = Some(key);
            return Ok(());
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
}

/// The right form of a name that is not a literal.
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

fn is_named(input: ParseStream<'_>) -> bool {
    input.peek(Ident::peek_any) && input.peek2(Token![=]) && !input.peek2(Token![==])
}

/// An option's name with nothing after it is an option too, without its value.
fn is_option(input: ParseStream<'_>) -> bool {
    let next = input.fork().call(Ident::parse_any);
    is_named(input) && next.is_ok_and(|name| options::NAMES.iter().any(|option| name == option))
}

/// Not what only begins like a flag: `transaction.id`.
fn is_flag(input: ParseStream<'_>) -> bool {
    let ahead = input.fork();
    let name = ahead.call(Ident::parse_any);
    let ends = ahead.is_empty() || ahead.peek(Token![,]) || is_named(input);
    ends && name.is_ok_and(|name| FLAGS.iter().any(|flag| name == flag))
}

pub(super) fn valid_options() -> Vec<&'static str> {
    [&options::NAMES[..], &FLAGS].concat()
}
