// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Types as C spells them, for messages: short, and only as deep as a reader wants.

use crate::btf::{self, Kind};
use crate::combine::{printable, Class, Combiner};
use crate::identity;

/// How deep types are spelled before they become an ellipsis.
const DEPTH: usize = 8;

/// How many types one text spells; those that follow are an ellipsis. A prototype may mention another
/// twice, and so on: to spell all of it would double the text with each.
const TYPES: usize = 256;

/// A declaration of `name` (may be empty) with the type of a class.
pub fn declaration(combiner: &Combiner<'_>, class: Class, name: &str) -> String {
    declare(combiner, class, name.to_owned(), 0, &mut 0)
}

/// `spelled`: how many types the text has so far.
fn declare(
    combiner: &Combiner<'_>,
    class: Class,
    inner: String,
    depth: usize,
    spelled: &mut usize,
) -> String {
    let join = |left: &str, inner: String| match inner.is_empty() {
        true => left.to_owned(),
        false => format!("{left} {inner}"),
    };
    if class == 0 {
        return join("void", inner);
    }
    *spelled += 1;
    if depth > DEPTH || *spelled > TYPES {
        return join("...", inner);
    }
    let words = combiner.class_words(class);
    let Some(kind) = identity::kind_of(words) else {
        return join("?", inner);
    };
    let name = printable(combiner.strings.get(words[0])).into_owned();
    let tagged = |keyword: &str| match name.is_empty() {
        true => format!("{keyword} {{...}}"),
        false => format!("{keyword} {name}"),
    };
    let mut next = |class, inner| declare(combiner, class, inner, depth + 1, spelled);
    match kind {
        Kind::Int | Kind::Float | Kind::Typedef => join(&name, inner),
        Kind::Struct => join(&tagged("struct"), inner),
        Kind::Union => join(&tagged("union"), inner),
        Kind::Enum | Kind::Enum64 => join(&tagged("enum"), inner),
        Kind::Fwd if words[1] & btf::KIND_FLAG != 0 => join(&tagged("union"), inner),
        Kind::Fwd => join(&tagged("struct"), inner),
        Kind::Ptr => {
            let pointee = combiner.kind_or_void(words[2]);
            let grouped = matches!(pointee, Some(Kind::FuncProto | Kind::Array));
            let inner = if grouped {
                format!("(*{inner})")
            } else {
                format!("*{inner}")
            };
            next(words[2], inner)
        }
        Kind::Const => next(words[2], join("const", inner)),
        Kind::Volatile => next(words[2], join("volatile", inner)),
        Kind::Restrict => next(words[2], join("restrict", inner)),
        Kind::TypeTag => next(words[2], join(&format!("__attribute__(({name}))"), inner)),
        Kind::Array => next(words[3], format!("{inner}[{}]", words[5])),
        Kind::FuncProto => {
            let mut parameter = |p: &[u32]| match p {
                [0, 0] => "...".to_owned(),
                _ => {
                    let name = printable(combiner.strings.get(p[0])).into_owned();
                    next(p[1], name)
                }
            };
            let list: Vec<String> = words[3..].chunks_exact(2).map(&mut parameter).collect();
            let list = if list.is_empty() {
                "void".to_owned()
            } else {
                list.join(", ")
            };
            next(words[2], format!("{inner}({list})"))
        }
        Kind::Func | Kind::Var | Kind::Datasec | Kind::DeclTag => join(&name, inner),
    }
}
