//! What can be expanded. All that can fail has failed before.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::{Expr, Ident, LitStr};

use super::args::{ATTRIBUTE, Args, FORM, FormatArgument, valid_options};
use crate::diagnostic::{Faults, fault, looks_like, unknown};
use crate::format::Format;
use crate::options::form;

const NAME: &str = "\"nightly-report\"";

impl Args {
    pub(super) fn check(&self, faults: &mut Faults) {
        self.options.check(faults);
        let Some(name) = &self.name else { return };
        if name.value().is_empty() {
            faults.add(fault(name, "the lock's name is empty", looks_like(FORM)));
        }
        let Some(format) = Format::read(&name.value()) else { return };
        self.check_captures(name, &format, faults);
        self.check_arguments(&format, faults);
    }

    fn check_captures(&self, name: &LitStr, format: &Format, faults: &mut Faults) {
        let Some(captured) = format.captured_expression() else { return };
        let is_used = |argument: &&FormatArgument| {
            argument.name.as_ref().is_none_or(|name| format.uses(name))
        };
        let given: Vec<_> =
            self.arguments.iter().filter(is_used).map(FormatArgument::as_text).collect();
        let message = format!("`{{{captured}}}` is not `format!`: it captures plain names only");
        let form = format!("#[{ATTRIBUTE}({})]", format.with_arguments(&given));
        faults.add(fault(name, message, looks_like(form)));
    }

    /// What the name does not use was meant for an option.
    fn check_arguments(&self, format: &Format, faults: &mut Faults) {
        // Else the arguments of what was captured are missing, and the count is wrong.
        let is_counted = format.captured_expression().is_none();
        let mut positional = 0;
        for argument in &self.arguments {
            if let Some(name) = &argument.name {
                if !format.uses(name) {
                    faults.add(unknown_option(name));
                }
                continue;
            }
            positional += 1;
            let is_unused = is_counted && positional > format.positional();
            if let Some(word) = argument.word().filter(|_| is_unused) {
                faults.add(unknown_option(word));
            }
        }
    }

    /// What [`Lock::new`] takes. Nothing is allocated for a name that is always the same.
    pub(super) fn name(&self) -> TokenStream {
        let Some(name) = &self.name else { return TokenStream::new() };
        let arguments = &self.arguments;
        let format = Format::read(&name.value()).filter(|_| arguments.is_empty());
        if let Some(plain) = format.as_ref().and_then(Format::plain) {
            return LitStr::new(plain, name.span()).into_token_stream();
        }
        quote_spanned!(Span::mixed_site()=> &::std::format!(#name #(, #arguments)*))
    }
}

fn unknown_option(word: &Ident) -> syn::Error {
    let valid = valid_options();
    if valid.iter().any(|option| word == option) {
        let message = format!("expected `=` after `{word}`");
        return fault(word, message, looks_like(form(ATTRIBUTE, NAME)));
    }
    unknown(word, "option", &valid, form(ATTRIBUTE, NAME))
}

impl FormatArgument {
    /// A name that stands alone.
    fn word(&self) -> Option<&Ident> {
        match &self.value {
            Expr::Path(path) => path.path.get_ident(),
            _ => None,
        }
    }

    fn as_text(&self) -> String {
        let text = self.to_token_stream().to_string();
        // Tokens know nothing of the spaces that were between them.
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
