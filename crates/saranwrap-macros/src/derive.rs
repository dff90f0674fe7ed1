//! Conversions of structs and enums, both ways.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Data, DeriveInput, Error, Field, Fields, Generics, Ident, Result, Variant, parse_quote};

use crate::names::{Told, told};

/// `impl FromRemote`.
pub(crate) fn from_remote(item: &DeriveInput) -> Result<TokenStream> {
    let body = match &item.data {
        Data::Struct(data) => made_of(&quote!(Self), &item.ident.to_string(), &data.fields)?,
        Data::Enum(data) => first_that_fits(&item.ident, data.variants.iter())?,
        Data::Union(_) => return Err(Error::new_spanned(item, "a union cannot be made of what came")),
    };
    let name = &item.ident;
    let generics = bound(&item.generics, &parse_quote!(::saranwrap::FromRemote));
    let (head, arguments, conditions) = generics.split_for_impl();
    Ok(quote! {
        #[automatically_derived]
        impl #head ::saranwrap::FromRemote for #name #arguments #conditions {
            fn from_remote(value: ::saranwrap::Value) -> ::std::result::Result<Self, ::saranwrap::Fault> {
                #body
            }
        }
    })
}

/// `impl IntoRemote`.
pub(crate) fn into_remote(item: &DeriveInput) -> Result<TokenStream> {
    let body = match &item.data {
        Data::Struct(data) => {
            let (pattern, written) = written(&item.ident.to_string(), &data.fields)?;
            quote! { let Self #pattern = self; #written }
        }
        Data::Enum(data) => {
            let arms = data.variants.iter().map(|variant| {
                let name = &variant.ident;
                let (pattern, written) = written(&name_of(variant)?, &variant.fields)?;
                Ok(quote! { Self::#name #pattern => { #written } })
            });
            let arms = arms.collect::<Result<Vec<_>>>()?;
            quote! { match self { #(#arms)* } }
        }
        Data::Union(_) => return Err(Error::new_spanned(item, "a union cannot be sent")),
    };
    let name = &item.ident;
    let generics = bound(&item.generics, &parse_quote!(::saranwrap::IntoRemote));
    let (head, arguments, conditions) = generics.split_for_impl();
    Ok(quote! {
        #[automatically_derived]
        impl #head ::saranwrap::IntoRemote for #name #arguments #conditions {
            fn into_remote(
                self,
                out: &mut ::saranwrap::remote::Encoder<'_>,
            ) -> ::std::result::Result<(), ::saranwrap::Fault> {
                #body
            }
        }
    })
}

/// Every type parameter has to be convertible, too.
fn bound(generics: &Generics, with: &syn::TypeParamBound) -> Generics {
    let mut generics = generics.clone();
    generics.type_params_mut().for_each(|parameter| parameter.bounds.push(with.clone()));
    generics
}

/// An expression that makes one, of `value`.
fn made_of(path: &TokenStream, name: &str, fields: &Fields) -> Result<TokenStream> {
    match fields {
        Fields::Unit => Ok(quote! { ::saranwrap::remote::Parts::unit(value, #name).map(|()| #path) }),
        Fields::Unnamed(fields) if fields.unnamed.len() == 1 => {
            Ok(quote! { ::saranwrap::FromRemote::from_remote(value).map(#path) })
        }
        Fields::Unnamed(fields) => {
            let count = fields.unnamed.len();
            let taken = fields.unnamed.iter().map(|_| quote! { parts.next()? });
            Ok(quote! {
                let mut parts = ::saranwrap::remote::Parts::sequence(value, #count)?;
                ::std::result::Result::Ok(#path(#(#taken),*))
            })
        }
        Fields::Named(fields) => {
            let taken = fields.named.iter().map(|field| {
                let ident = &field.ident;
                let Told { name, default } = told(&field.attrs)?;
                let name = name.unwrap_or_else(|| plain(ident.as_ref()));
                let take = if default { quote!(take_or_default) } else { quote!(take) };
                Ok(quote! { #ident: parts.#take(#name)? })
            });
            let taken = taken.collect::<Result<Vec<_>>>()?;
            Ok(quote! {
                let mut parts = ::saranwrap::remote::Parts::named(value)?;
                ::std::result::Result::Ok(#path { #(#taken),* })
            })
        }
    }
}

fn first_that_fits<'a>(name: &Ident, variants: impl Iterator<Item = &'a Variant>) -> Result<TokenStream> {
    let tries = variants.map(|variant| {
        let ident = &variant.ident;
        let made = made_of(&quote!(Self::#ident), &name_of(variant)?, &variant.fields)?;
        let told = ident.to_string();
        Ok(quote! {
            let tried: ::std::result::Result<Self, ::saranwrap::Fault> = (|value: ::saranwrap::Value| { #made })(value.clone());
            match tried {
                ::std::result::Result::Ok(made) => return ::std::result::Result::Ok(made),
                // What happened to the link is no matter of the variant.
                ::std::result::Result::Err(fault @ ::saranwrap::Fault::Link(_)) => return ::std::result::Result::Err(fault),
                ::std::result::Result::Err(fault) => faults.push(::std::format!("{}: {fault}", #told)),
            }
        })
    });
    let tries = tries.collect::<Result<Vec<_>>>()?;
    let name = name.to_string();
    Ok(quote! {
        let mut faults = ::std::vec::Vec::<::std::string::String>::new();
        #(#tries)*
        ::std::result::Result::Err(::saranwrap::Fault::mismatch(::std::format!(
            "no variant of {} fits: {}", #name, faults.join("; ")
        )))
    })
}

/// A pattern for the fields, and what writes them.
fn written(name: &str, fields: &Fields) -> Result<(TokenStream, TokenStream)> {
    let ok = quote! { ::std::result::Result::Ok(()) };
    match fields {
        Fields::Unit => Ok((quote!(), quote! { out.text(#name); #ok })),
        Fields::Unnamed(fields) => {
            let idents: Vec<_> = (0..fields.unnamed.len()).map(|place| format_ident!("field{place}")).collect();
            let count = idents.len();
            let head = if count == 1 {
                quote!()
            } else {
                quote! { out.tuple(#count); }
            };
            Ok((
                quote! { (#(#idents),*) },
                quote! { #head #(::saranwrap::IntoRemote::into_remote(#idents, out)?;)* #ok },
            ))
        }
        Fields::Named(fields) => {
            let idents: Vec<_> = fields.named.iter().filter_map(|field| field.ident.as_ref()).collect();
            let names = fields.named.iter().map(name_there).collect::<Result<Vec<_>>>()?;
            let count = idents.len();
            Ok((
                quote! { { #(#idents),* } },
                quote! {
                    out.dict(#count);
                    #(out.text(#names); ::saranwrap::IntoRemote::into_remote(#idents, out)?;)*
                    #ok
                },
            ))
        }
    }
}

fn name_there(field: &Field) -> Result<String> {
    Ok(told(&field.attrs)?.name.unwrap_or_else(|| plain(field.ident.as_ref())))
}

fn name_of(variant: &Variant) -> Result<String> {
    Ok(told(&variant.attrs)?.name.unwrap_or_else(|| variant.ident.to_string()))
}

/// An identifier without the mark of a raw one.
fn plain(ident: Option<&Ident>) -> String {
    ident.map(|ident| ident.to_string().trim_start_matches("r#").to_owned()).unwrap_or_default()
}
