//! How a function that is to be used from another process is called: what it takes, and what it comes to.

use proc_macro2::TokenStream;
use quote::quote;
use syn::visit_mut::{self, VisitMut};
use syn::{
    Error, FnArg, GenericArgument, Ident, ImplItemFn, Pat, Path, PathArguments, ReceiverKind, Result, ReturnType, Type,
    TypePath, parse_quote,
};

/// What it is called on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Receiver {
    None,
    Shared,
    Exclusive,
}

pub(crate) struct Parameter {
    pub(crate) name: Ident,
    /// As the function has it.
    pub(crate) written: Type,
    /// What is taken from the arguments.
    pub(crate) owned: Type,
}

pub(crate) struct Signature {
    pub(crate) receiver: Receiver,
    pub(crate) parameters: Vec<Parameter>,
    /// What a proxy's method comes to.
    pub(crate) result: Type,
}

impl Signature {
    /// Of a method of the type with this name, whose proxy has that one.
    pub(crate) fn of(function: &ImplItemFn, own: &Ident, proxy: &Ident) -> Result<Self> {
        let signature = &function.sig;
        if let Some(asynchronous) = &signature.asyncness {
            return Err(Error::new_spanned(asynchronous, "an async function cannot be called from another process"));
        }
        if let Some(parameter) = signature.generics.type_params().next() {
            let text = "what a function takes has to be known here: it cannot have a parameter that is a type";
            return Err(Error::new_spanned(parameter, text));
        }
        let mut receiver = Receiver::None;
        let mut parameters = Vec::new();
        for input in &signature.inputs {
            match input {
                FnArg::Receiver(this) => receiver = receiver_of(this)?,
                FnArg::Typed(typed) => parameters.push(parameter(&typed.pat, &typed.ty)?),
            }
        }
        Ok(Self { receiver, parameters, result: result(&signature.output, own, proxy)? })
    }

    /// The parameters as they would be written in Python.
    pub(crate) fn text(&self) -> String {
        let text = |parameter: &Parameter| {
            let name = parameter.name.to_string();
            let name = name.trim_start_matches("r#");
            if last_name(&parameter.owned).is_some_and(|name| name == "Option") {
                format!("{name}=None")
            } else {
                name.to_owned()
            }
        };
        self.parameters.iter().map(text).collect::<Vec<_>>().join(", ")
    }
}

impl Parameter {
    /// How it is given to the function.
    pub(crate) fn given(&self) -> TokenStream {
        let name = &self.name;
        if matches!(self.written, Type::Reference(_)) { quote!(&#name) } else { quote!(#name) }
    }

    /// What a proxy's method takes in its place.
    pub(crate) fn asked(&self) -> TokenStream {
        let written = &self.written;
        let stands_for_something = |name: &Ident| {
            let name = name.to_string();
            name.ends_with("Proxy") || ["Value", "Own", "Here"].contains(&name.as_str())
        };
        match last_name(written) {
            Some(name) if stands_for_something(name) => quote!(impl ::saranwrap::IntoRemote),
            _ => quote!(#written),
        }
    }
}

fn receiver_of(this: &syn::Receiver) -> Result<Receiver> {
    match &this.kind {
        ReceiverKind::Reference(_, _, Some(_)) => Ok(Receiver::Exclusive),
        ReceiverKind::Reference(..) => Ok(Receiver::Shared),
        _ => {
            let text = "a proxy cannot give its value away: take `&self` or `&mut self`";
            Err(Error::new_spanned(this, text))
        }
    }
}

fn parameter(pattern: &Pat, written: &Type) -> Result<Parameter> {
    let Pat::Ident(name) = pattern else {
        return Err(Error::new_spanned(pattern, "an argument that may be given by name needs one"));
    };
    let owned = match written {
        Type::Reference(reference) if reference.mutability.is_some() => {
            let text = "what is sent is a copy, which would be changed and thrown away: take it by value";
            return Err(Error::new_spanned(written, text));
        }
        Type::Reference(reference) => owned(&reference.elem),
        Type::ImplTrait(_) => {
            let text = "what is sent has to be of a type that is known here; a closure of the caller's is a `saranwrap::Proxy`";
            return Err(Error::new_spanned(written, text));
        }
        other => other.clone(),
    };
    Ok(Parameter { name: name.ident.clone(), written: written.clone(), owned })
}

/// What a reference to this can be had of.
fn owned(referred: &Type) -> Type {
    match referred {
        Type::Slice(slice) => {
            let item = &slice.elem;
            parse_quote!(::std::vec::Vec<#item>)
        }
        Type::Path(path) if path.path.is_ident("str") => parse_quote!(::std::string::String),
        other => other.clone(),
    }
}

fn result(output: &ReturnType, own: &Ident, proxy: &Ident) -> Result<Type> {
    let ReturnType::Type(_, output) = output else { return Ok(parse_quote!(())) };
    let mut result = match success(output) {
        Some(success) => success.clone(),
        None => (**output).clone(),
    };
    if let Type::Reference(reference) = &result {
        result = owned(&reference.elem);
    }
    if let Type::ImplTrait(_) = &result {
        return Err(Error::new_spanned(result, "what comes back has to be of a type that is known here"));
    }
    Proxies { own, proxy }.visit_type_mut(&mut result);
    Ok(result)
}

/// What a `Result` holds when all went well.
fn success(output: &Type) -> Option<&Type> {
    let Type::Path(TypePath { path, .. }) = output else { return None };
    let last = path.segments.last().filter(|segment| segment.ident == "Result")?;
    let PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    match arguments.args.first()? {
        GenericArgument::Type(success) => Some(success),
        _ => None,
    }
}

/// Puts the proxy in the place of the type.
struct Proxies<'a> {
    own: &'a Ident,
    proxy: &'a Ident,
}

impl VisitMut for Proxies<'_> {
    fn visit_path_mut(&mut self, path: &mut Path) {
        if path.is_ident("Self") || path.is_ident(self.own) {
            *path = Path::from(self.proxy.clone());
        }
        visit_mut::visit_path_mut(self, path);
    }
}

/// The last name of a path.
fn last_name(written: &Type) -> Option<&Ident> {
    match written {
        Type::Path(TypePath { path, .. }) => path.segments.last().map(|segment| &segment.ident),
        Type::Reference(reference) => last_name(&reference.elem),
        _ => None,
    }
}
