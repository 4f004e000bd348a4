// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Several objects that a linker made one of, as one: the units of each stand behind those of the others.

use crate::btf::{self, Field};
use crate::object::sites::Site;
use crate::object::{Encoded, View, NONE};
use crate::support::error::{Error, Result};

impl Encoded {
    /// Append what another object has. Identities name nothing of the object that they are in, so they
    /// stay.
    pub fn append(&mut self, other: &View<'_>) -> Result<()> {
        if !self.target.is_like(&other.target) {
            return Err(Error::new(
                "made of objects that are built for several architectures",
            ));
        }
        let words = base(&self.words, other.words)?;
        let strings = base(&self.strings, other.strings)?;
        let types = base(&self.ids, other.ids)?;
        let functions = base(&self.functions, other.functions)?;
        let variables = base(&self.variables, other.variables)?;
        let tags = base(&self.tags, other.tags)?;
        let symbols = base(&self.symbols, other.symbols)?;
        let places = base(&self.places, other.places)?;
        let dies = self.dies_end();
        // 0 is no name, and no type.
        let name = |at: u32| if at == 0 { 0 } else { at + strings };
        let id = |id: u32| if id == 0 { 0 } else { id + types };

        self.strings.extend_from_slice(other.strings);
        self.words.extend_from_slice(other.words);
        for own in other.starts.windows(2) {
            let own = &mut self.words[(own[0] + words) as usize..(own[1] + words) as usize];
            let Some(kind) = btf::kind_of(own) else {
                continue;
            };
            let old = own.to_vec();
            btf::for_each_field(kind, &old, |i, field| {
                own[i] = match field {
                    Field::Name => name(own[i]),
                    Field::Type => id(own[i]),
                };
            });
        }
        self.starts
            .extend(other.starts.iter().skip(1).map(|at| at + words));
        self.ids.extend_from_slice(other.ids);
        for mut unit in other.units.iter().copied() {
            unit.types_end += types;
            unit.protos_end += types;
            unit.functions_end += functions;
            unit.variables_end += variables;
            unit.refused = name(unit.refused);
            unit.name = name(unit.name);
            self.units.push(unit);
        }
        let symbol_at = |i: u32| if i == NONE { NONE } else { i + symbols };
        for mut function in other.functions.iter().copied() {
            function.name = name(function.name);
            function.proto = id(function.proto);
            function.tags_start += tags;
            function.symbol = symbol_at(function.symbol);
            function.die += dies;
            self.functions.push(function);
        }
        for mut variable in other.variables.iter().copied() {
            variable.name = name(variable.name);
            variable.type_id = id(variable.type_id);
            variable.tags_start += tags;
            variable.symbol = symbol_at(variable.symbol);
            variable.die += dies;
            self.variables.push(variable);
        }
        for mut tag in other.tags.iter().copied() {
            tag.value = name(tag.value);
            self.tags.push(tag);
        }
        for mut symbol in other.symbols.iter().copied() {
            symbol.name = name(symbol.name);
            symbol.section = name(symbol.section);
            symbol.file = name(symbol.file);
            self.symbols.push(symbol);
        }
        self.places.extend_from_slice(other.places);
        // What is not known of one is not known of the whole.
        self.sites = self.sites.take().zip(other.sites).map(|(mut own, more)| {
            own.extend(more.iter().map(|site| Site {
                function: site.function + functions,
                symbol: symbol_at(site.symbol),
                places_start: site.places_start + places,
                ..*site
            }));
            own
        });
        Ok(())
    }
    /// Candidates are told apart by their DIE, whose offset is below 4 GiB in each of the objects.
    fn dies_end(&self) -> u64 {
        let functions = self.functions.iter().map(|f| f.die);
        let dies = functions.chain(self.variables.iter().map(|v| v.die));
        dies.max().map_or(0, |last| (last >> 32) + 1) << 32
    }
}

/// Where what is appended starts; both together must be in reach.
fn base<T>(have: &[T], more: &[T]) -> Result<u32> {
    match u32::try_from(have.len() + more.len()) {
        Ok(_) => Ok(have.len() as u32),
        Err(_) => Err(Error::new(
            "made of so many objects that their types are out of reach",
        )),
    }
}
