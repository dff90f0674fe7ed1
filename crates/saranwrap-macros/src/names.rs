//! What attributes say: documentation, and the names that fields have on the other side.

use syn::{Attribute, Error, Expr, ExprLit, Lit, LitStr, Meta, Result};

/// The text of doc comments.
pub(crate) fn documentation(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(meta) if meta.path.is_ident("doc") => match &meta.value {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value()),
            _ => None,
        },
        _ => None,
    });
    let lines: Vec<_> = lines.map(|line| line.strip_prefix(' ').unwrap_or(&line).to_owned()).collect();
    lines.join("\n").trim().to_owned()
}

/// What `#[remote(...)]` says of a field or a variant.
#[derive(Default)]
pub(crate) struct Told {
    /// Its name there.
    pub(crate) name: Option<String>,
    /// It may be absent.
    pub(crate) default: bool,
}

/// Read it.
pub(crate) fn told(attributes: &[Attribute]) -> Result<Told> {
    let mut told = Told::default();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("remote")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("name") {
                told.name = Some(meta.value()?.parse::<LitStr>()?.value());
            } else if meta.path.is_ident("default") {
                told.default = true;
            } else {
                return Err(Error::new_spanned(&meta.path, "only `name = \"...\"` and `default` can be said here"));
            }
            Ok(())
        })?;
    }
    Ok(told)
}
