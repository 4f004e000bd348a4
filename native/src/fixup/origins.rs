// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! What became of each object's symbols in the linked file.
//!
//! Global symbols are found by name. A local one is among the local symbols that the linked file
//! has of the same source file: linkers keep those of one object together, a **group** behind an
//! `STT_FILE` symbol. But base names of files repeat, groups need not stand in link order, and what
//! was discarded leaves no symbol. So nothing is inferred from order or from likeness. Three things
//! are certain, and each is a rule below:
//!
//! - a linked symbol comes from some object: when only one can have brought it, that one did
//!   (`only_claim`; objects without debug information are not known, but they show in the count);
//! - a group belongs to one object, so one symbol that is known tells whose the group is
//!   (`may_be`);
//! - the linker moves an input section as a whole, so one symbol that is known tells where all
//!   others of its section are (`moved_to`); not one whose equal parts are merged (`SHF_MERGE`), and
//!   of several of one name in an object it is not known which is meant.
//!
//! Where these leave several possibilities that are not of one meaning, the linked file's debug
//! information is asked about the units concerned (`linked_dwarf`), and what it does not say either
//! is refused.

use std::collections::{HashMap, HashSet};

use object::elf;

use crate::combine::{printable, Combiner, ObjectIndex, ObjectSymbol, Place};
use crate::elf::image::{Image, ImageSymbol, Location};
use crate::fixup::linked_dwarf::{self, Answer, Question, Relink};
use crate::fixup::names::Names;
use crate::fixup::sections;
use crate::object::features::Features;
use crate::object::numbering::Class;
use crate::support::error::{Error, Result};
use crate::support::hash::Fast;

pub struct Resolution {
    /// For each of `Combiner::symbols` the index of the linked symbol.
    linked: Vec<Option<u32>>,
    /// What the symbols leave open, and what follows from it is not the same in every case.
    open: Vec<Contest>,
    moves: Moves,
    /// Of `Combiner::symbols` those whose linked symbol may be that of another object, which means the same
    /// but for where functions were inlined in it.
    unsure: HashSet<u32, Fast>,
}

/// By object and section how far the linker moved it, and to which section. `None`: its symbols
/// contradict each other.
type Moves = HashMap<u64, Option<(u32, u64)>, Fast>;

/// Symbols of one name, kind and size, of source files of one name: what is not decided yet.
struct Contest {
    claims: Vec<Claim>,
    /// Symbols of the linked file.
    linked: Vec<u32>,
}

/// A symbol that objects define. Several candidates may stand at it, each with a copy of it.
struct Claim {
    /// Indices into `Combiner::symbols`. The first one defines it.
    copies: Vec<u32>,
    /// Source file by the count of `Linked::files`. `None`: a hidden symbol, which was global in
    /// the objects; linkers put it into its object's group or into one of no file.
    file: Option<u32>,
}

/// What has no source file: symbols of assembler objects, and of a file without `STT_FILE`.
const NO_FILE: u32 = 0;

/// The symbols of the linked file by the numbers that the combiner gave to their names. Names that
/// no candidate has are not in it.
struct Linked<'i> {
    image: &'i Image<'i>,
    globals: HashMap<u32, u32, Fast>,
    local_names: HashMap<u32, Vec<u32>, Fast>,
    /// Local symbols by their file and name.
    locals: HashMap<u64, Vec<u32>, Fast>,
    /// Source files by name: the first group of each stands for it.
    files: HashMap<&'i [u8], u32>,
    file_of_group: Vec<u32>,
}

impl<'i> Linked<'i> {
    fn new(image: &'i Image<'i>, names: &Names, features: &Features) -> Self {
        let mut files = HashMap::from([(&b""[..], NO_FILE)]);
        let file_of_group: Vec<u32> = (0..)
            .zip(&image.group_names)
            .map(|(i, name)| *files.entry(name).or_insert(i))
            .collect();
        let mut linked = Linked {
            image,
            globals: HashMap::default(),
            local_names: HashMap::default(),
            locals: HashMap::default(),
            files,
            file_of_group,
        };
        // Variables in sections that do not count are no candidates either.
        let counts = |symbol: &ImageSymbol<'_>| {
            let section = image.sections.get(symbol.section as usize);
            symbol.kind != elf::STT_OBJECT.0
                || section.is_some_and(|s| sections::is_included(s.name, features))
        };
        for (i, symbol) in (0..).zip(&image.symbols) {
            let Some(name) = names.of(i) else { continue };
            if !counts(symbol) {
                continue;
            }
            if symbol.binding == elf::STB_LOCAL.0 {
                let key = pair(linked.file_of(i), name);
                linked.locals.entry(key).or_default().push(i);
                linked.local_names.entry(name).or_default().push(i);
            } else {
                linked.globals.insert(name, i);
            }
        }
        linked
    }

    fn group(&self, symbol: u32) -> u32 {
        self.image.groups[symbol as usize]
    }

    fn file_of(&self, symbol: u32) -> u32 {
        self.file_of_group[self.group(symbol) as usize]
    }

    /// Same kind, same size. Linkers that relax make code shorter than the assembler could; data
    /// stay as they are.
    fn is_like(&self, linked: u32, symbol: &ObjectSymbol) -> bool {
        let linked = &self.image.symbols[linked as usize];
        linked.kind == symbol.kind
            && (linked.size == symbol.size || (self.relaxes(symbol) && linked.size < symbol.size))
    }

    /// May the linker have changed its size, and its distance to others?
    fn relaxes(&self, symbol: &ObjectSymbol) -> bool {
        self.image.relaxes && symbol.kind == elf::STT_FUNC.0
    }

    /// The source file under which the linked file has an object's local symbols. An assembler
    /// object names none; the linker takes the object's own name, or none.
    fn file(&self, name: &[u8], object: &str) -> u32 {
        let name = match name {
            b"" => object.rsplit('/').next().unwrap_or(object).as_bytes(),
            _ => name,
        };
        self.files.get(name).copied().unwrap_or(NO_FILE)
    }
}

/// Is the linked symbol the one that this object defines? A weak definition loses to a strong one
/// of another object.
fn is_winner(
    known: &Linked<'_>,
    strong: &HashMap<u32, u32, Fast>,
    symbol: &ObjectSymbol,
    linked: u32,
) -> bool {
    if symbol.kind != elf::STT_FUNC.0 || symbol.binding != elf::STB_WEAK.0 {
        return true;
    }
    let elsewhere = strong
        .get(&symbol.name)
        .is_some_and(|&object| object != symbol.object);
    !elsewhere && known.is_like(linked, symbol)
}

/// Two numbers as one key.
fn pair(high: u32, low: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

/// An input section of an object.
fn section_of(symbol: &ObjectSymbol) -> u64 {
    pair(symbol.object, symbol.section)
}

/// What is known while local symbols are sorted out.
struct Search<'s, 'i> {
    known: &'s Linked<'i>,
    symbols: &'s [ObjectSymbol],
    linked: &'s mut [Option<u32>],
    /// Whose a group is.
    owners: HashMap<u32, ObjectIndex, Fast>,
    moves: Moves,
}

impl Search<'_, '_> {
    fn symbol(&self, claim: &Claim) -> &ObjectSymbol {
        &self.symbols[claim.copies[0] as usize]
    }

    fn location(&self, linked: u32) -> Location {
        self.known.image.location(linked as usize)
    }

    /// Write down what is certain, and what follows from it for others.
    fn settle(&mut self, claim: &Claim, linked: u32) {
        for &copy in &claim.copies {
            self.linked[copy as usize] = Some(linked);
        }
        let symbol = *self.symbol(claim);
        if claim.file.is_some() && self.known.file_of(linked) != NO_FILE {
            self.owners.insert(self.known.group(linked), symbol.object);
        }
        self.note_move(&symbol, linked);
    }

    fn note_move(&mut self, symbol: &ObjectSymbol, linked: u32) {
        let weak = symbol.binding == elf::STB_WEAK.0;
        if weak || !symbol.moves_whole || symbol.section == 0 || self.known.relaxes(symbol) {
            return;
        }
        let at = self.location(linked);
        let moved = (at.section, at.value.wrapping_sub(symbol.value));
        let known = self.moves.entry(section_of(symbol)).or_insert(Some(moved));
        if *known != Some(moved) {
            *known = None;
        }
    }

    /// Where the linker put it, if another symbol of its section tells.
    fn moved_to(&self, symbol: &ObjectSymbol) -> Option<Location> {
        if !symbol.moves_whole || self.known.relaxes(symbol) {
            return None;
        }
        let (section, by) = (*self.moves.get(&section_of(symbol))?)?;
        Some(Location {
            section,
            value: symbol.value.wrapping_add(by),
        })
    }

    fn owner(&self, linked: u32) -> Option<ObjectIndex> {
        self.owners.get(&self.known.group(linked)).copied()
    }

    /// Can the object have brought this linked symbol?
    fn may_be(&self, claim: &Claim, linked: u32) -> bool {
        let symbol = self.symbol(claim);
        let file = self.known.file_of(linked);
        claim.file.is_none_or(|own| own == file)
            && self.owner(linked).is_none_or(|o| o == symbol.object)
            && self
                .moved_to(symbol)
                .is_none_or(|at| at == self.location(linked))
    }

    /// The claim that a linked symbol must be from: its place says so, or no other is left. Where
    /// there are more symbols than claims, some are of objects without debug information; then
    /// another claim must not only be impossible, but the group known to be the object's.
    fn only_claim(&self, contest: &Contest, linked: u32) -> Option<usize> {
        let Contest {
            claims,
            linked: all,
        } = contest;
        let at = Some(self.location(linked));
        if let Some(i) = claims
            .iter()
            .position(|c| self.moved_to(self.symbol(c)) == at)
        {
            return Some(i);
        }
        let complete = all.len() <= claims.len();
        let mut possible = (0..claims.len()).filter(|&i| {
            let object = self.symbol(&claims[i]).object;
            self.may_be(&claims[i], linked) && (complete || self.owner(linked) == Some(object))
        });
        match (possible.next(), possible.next()) {
            (Some(only), None) => Some(only),
            _ => None,
        }
    }

    /// Decide what can be decided of one contest. Has anything changed?
    fn narrow(&mut self, contest: &mut Contest) -> bool {
        let before = contest.linked.len();
        let mut i = 0;
        while i < contest.linked.len() {
            let linked = contest.linked[i];
            match self.only_claim(contest, linked) {
                Some(claim) => {
                    let claim = contest.claims.swap_remove(claim);
                    contest.linked.swap_remove(i);
                    self.settle(&claim, linked);
                }
                None => i += 1,
            }
        }
        contest.linked.len() != before
    }

    /// What nothing can match was discarded, or comes from an object without debug information.
    fn drop_impossible(&self, contest: &mut Contest) {
        let Contest { claims, linked } = contest;
        linked.retain(|&l| claims.iter().any(|c| self.may_be(c, l)));
        claims.retain(|c| linked.iter().any(|&l| self.may_be(c, l)));
    }
}

/// What the candidates at a symbol mean for the result, in a form that compares.
type Meaning<'c> = Vec<Means<'c>>;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Means<'c> {
    /// Class and offset.
    Function(u32, u64),
    /// Class, name, flags, size, offset, tags.
    Variable(Class, u32, u32, u64, u64, &'c [(u32, i32)]),
    /// Function class, places, offset.
    Site(u32, u32, u64),
}

fn meanings<'c>(combiner: &'c Combiner<'_>, open: &[Contest]) -> HashMap<u32, Meaning<'c>> {
    let claims = open.iter().flat_map(|c| &c.claims);
    let mut found: HashMap<u32, Meaning<'_>> = claims
        .flat_map(|c| &c.copies)
        .map(|&copy| (copy, Meaning::new()))
        .collect();
    if found.is_empty() {
        return found;
    }
    for f in &combiner.placed_functions {
        if let Place::Symbol(symbol, offset) = f.place {
            let what = Means::Function(f.class, offset);
            found.entry(symbol).and_modify(|all| all.push(what));
        }
    }
    for v in &combiner.variables {
        if let Place::Symbol(symbol, offset) = v.place {
            let tags = v.tags.as_slice();
            let what = Means::Variable(v.class, v.name, v.flags, v.size, offset, tags);
            found.entry(symbol).and_modify(|all| all.push(what));
        }
    }
    for s in &combiner.sites {
        if let Place::Symbol(symbol, offset) = s.place {
            let what = Means::Site(s.function, s.places, offset);
            found.entry(symbol).and_modify(|all| all.push(what));
        }
    }
    found
}

impl Contest {
    /// Does it matter which object's symbol is which? Not when all are taken and mean the same. Nor
    /// for functions at several addresses: no function of the name is told of then.
    fn matters(&self, image: &Image<'_>, meanings: &HashMap<u32, Meaning<'_>>) -> bool {
        let at = image.location(self.linked[0] as usize);
        let is_function = image.symbols[self.linked[0] as usize].kind == elf::STT_FUNC.0;
        let several = self
            .linked
            .iter()
            .any(|&l| !image.location(l as usize).same(&at));
        if is_function && several {
            return false;
        }
        let meaning = |claim: &Claim| {
            let own = claim.copies.iter().flat_map(|copy| &meanings[copy]);
            let own = own.filter(|means| !matches!(means, Means::Site(..)));
            let mut all: Meaning<'_> = own.copied().collect();
            all.sort_unstable();
            all.dedup();
            all
        };
        let first = meaning(&self.claims[0]);
        (!is_function && self.claims.len() < self.linked.len())
            || self.claims[1..].iter().any(|c| meaning(c) != first)
    }
}

impl Contest {
    /// Can it not be told in which of several functions others were inlined?
    fn leaves_sites_open(&self, meanings: &HashMap<u32, Meaning<'_>>) -> bool {
        let copies = self.claims.iter().flat_map(|c| &c.copies);
        let mut all = copies.flat_map(|copy| &meanings[copy]);
        self.claims.len().max(self.linked.len()) > 1 && all.any(|m| matches!(m, Means::Site(..)))
    }
}

impl Resolution {
    /// `objects`: path of each object, by its number.
    pub fn new(
        image: &Image<'_>,
        names: &Names,
        combiner: &Combiner<'_>,
        objects: &[String],
        features: &Features,
    ) -> Result<Resolution> {
        let mut resolution = Resolution {
            linked: vec![None; combiner.symbols.len()],
            open: Vec::new(),
            moves: Moves::default(),
            unsure: HashSet::default(),
        };
        if image.relocatable && objects.iter().all(|o| image.path.as_os_str() == o.as_str()) {
            resolution.find_own(image, combiner);
            return Ok(resolution);
        }
        let known = Linked::new(image, names, features);
        let hidden = resolution.find_globals(&known, combiner);
        resolution.find_locals(&known, combiner, objects, hidden);
        resolution.check(combiner)?;
        resolution.check_each(&known, combiner, objects)?;
        Ok(resolution)
    }

    /// The file's own debug information was read, and names its own symbols.
    fn find_own(&mut self, image: &Image<'_>, combiner: &Combiner<'_>) {
        let mut places: HashMap<(u64, &[u8]), Vec<u32>> = HashMap::new();
        let mut globals: HashMap<&[u8], u32> = HashMap::new();
        for (i, symbol) in (0..).zip(&image.symbols) {
            if symbol.section == 0 {
                continue;
            }
            let key = (symbol.value, symbol.name);
            places.entry(key).or_default().push(i);
            if symbol.binding != elf::STB_LOCAL.0 {
                globals.insert(symbol.name, i);
            }
        }
        for (found, symbol) in self.linked.iter_mut().zip(&combiner.symbols) {
            let name = combiner.strings.get(symbol.name);
            *found = match symbol.section {
                0 => globals.get(name).copied(),
                section => places.get(&(symbol.value, name)).and_then(|all| {
                    let section = combiner.strings.get(section);
                    all.iter().copied().find(|&i| {
                        let own = &image.symbols[i as usize];
                        (own.kind, own.binding, own.size)
                            == (symbol.kind, symbol.binding, symbol.size)
                            && image
                                .sections
                                .get(own.section as usize)
                                .is_some_and(|s| s.name == section)
                    })
                }),
            };
        }
    }

    /// Global symbols, by name. Hidden ones are given back: they are local in the linked file.
    fn find_globals(&mut self, known: &Linked<'_>, combiner: &Combiner<'_>) -> Vec<u32> {
        let mut strong: HashMap<u32, u32, Fast> = HashMap::default();
        for symbol in &combiner.symbols {
            if symbol.binding == elf::STB_GLOBAL.0 && symbol.section != 0 {
                strong.insert(symbol.name, symbol.object);
            }
        }
        let mut hidden = Vec::new();
        for (i, symbol) in (0..).zip(&combiner.symbols) {
            if symbol.binding == elf::STB_LOCAL.0 {
                continue;
            }
            let locals = known.local_names.get(&symbol.name).map(Vec::as_slice);
            match (known.globals.get(&symbol.name), locals) {
                (Some(&found), _) if is_winner(known, &strong, symbol, found) => {
                    self.linked[i as usize] = Some(found);
                }
                (None, Some(&[only])) if symbol.section == 0 => {
                    self.linked[i as usize] = Some(only);
                }
                // A weak function that a strong one overrides is not in the file.
                (None, Some(_)) if symbol.section != 0 => {
                    let lost = symbol.kind == elf::STT_FUNC.0
                        && symbol.binding == elf::STB_WEAK.0
                        && strong
                            .get(&symbol.name)
                            .is_some_and(|&o| o != symbol.object);
                    if !lost {
                        hidden.push(i);
                    }
                }
                _ => {}
            }
        }
        hidden
    }

    fn find_locals(
        &mut self,
        known: &Linked<'_>,
        combiner: &Combiner<'_>,
        objects: &[String],
        hidden: Vec<u32>,
    ) {
        let symbols = combiner.symbols.as_slice();
        let mut search = Search {
            known,
            symbols,
            linked: &mut self.linked,
            owners: HashMap::default(),
            moves: HashMap::default(),
        };
        for (i, symbol) in symbols.iter().enumerate() {
            let defines = symbol.binding == elf::STB_GLOBAL.0;
            if let (true, Some(found)) = (defines, search.linked[i]) {
                search.note_move(symbol, found);
            }
        }
        let mut contests = gather(known, combiner, objects, &hidden);
        // Each pass may tell more of a group or section; a file whose name stands once needs one.
        let mut changed = true;
        while changed {
            changed = false;
            for contest in &mut contests {
                changed |= search.narrow(contest);
            }
            contests.retain(|c| !c.claims.is_empty() && !c.linked.is_empty());
        }
        for contest in &mut contests {
            search.drop_impossible(contest);
        }
        self.moves = search.moves;
        contests.retain(|c| !c.claims.is_empty());
        let meanings = meanings(combiner, &contests);
        for contest in contests {
            if contest.matters(known.image, &meanings) {
                self.open.push(contest);
                continue;
            }
            if contest.leaves_sites_open(&meanings) {
                let copies = contest.claims.iter().flat_map(|claim| &claim.copies);
                self.unsure.extend(copies);
            }
            for (claim, linked) in contest.claims.iter().zip(contest.linked) {
                for &copy in &claim.copies {
                    self.linked[copy as usize] = Some(linked);
                }
            }
        }
    }

    /// Symbols by which places in code cannot be found.
    pub fn unsure_symbols(&self) -> usize {
        self.unsure.len()
    }

    /// Names of statics whose symbols leave open which object's is which.
    pub fn open_names(&self) -> u64 {
        self.open.len() as u64
    }

    /// Ask the debug information of the linked file where its symbols leave open which object's
    /// static is which. What stays open is refused by name.
    pub fn settle(
        &mut self,
        image: &Image<'_>,
        combiner: &Combiner<'_>,
        objects: &[String],
        relink: Relink,
    ) -> Result<()> {
        if self.open.is_empty() {
            return Ok(());
        }
        let mut dies: HashMap<u32, (ObjectIndex, u64, u64)> = HashMap::new();
        let functions = combiner
            .placed_functions
            .iter()
            .map(|f| (f.place, f.object, f.die));
        let variables = combiner
            .variables
            .iter()
            .map(|v| (v.place, v.object, v.die));
        for (place, object, die) in functions.chain(variables) {
            if let Place::Symbol(symbol, offset) = place {
                dies.insert(symbol, (object, die, offset));
            }
        }
        let die_of = |claim: &Claim| claim.copies.iter().find_map(|copy| dies.get(copy).copied());
        let open = std::mem::take(&mut self.open);
        let claims: Vec<(&Contest, &Claim)> = open
            .iter()
            .flat_map(|contest| contest.claims.iter().map(move |claim| (contest, claim)))
            .collect();
        let questions: Vec<Question<'_>> = claims
            .iter()
            .filter_map(|(_, claim)| {
                let (object, die, _) = die_of(claim)?;
                let object = objects.get(object as usize)?;
                Some(Question { object, die })
            })
            .collect();
        if questions.len() != claims.len() {
            return Err(undecided(combiner, objects, &open[0]));
        }
        let why = undecided(combiner, objects, &open[0]);
        let answers = linked_dwarf::ask(image, &questions, why.what(), relink)?.ok_or(why)?;
        let mut taken = HashSet::new();
        for ((contest, claim), answer) in claims.into_iter().zip(answers) {
            let undecided = || undecided(combiner, objects, contest);
            let at = match answer {
                Answer::Unknown => return Err(undecided()),
                Answer::Gone => continue,
                Answer::At(at) => at,
            };
            let start = at
                .value
                .wrapping_sub(die_of(claim).map_or(0, |(_, _, offset)| offset));
            let found = contest.linked.iter().copied().find(|&l| {
                let place = Location {
                    section: at.section,
                    value: start,
                };
                match image.symbols[l as usize].kind == elf::STT_FUNC.0 {
                    true => image.has_within(l as usize, &place),
                    false => image.location(l as usize).same(&place),
                }
            });
            let Some(linked) = found else {
                // What was discarded has the address 0, or one where nothing is. Something of its
                // name there contradicts what was thought certain.
                let own = &image.symbols[contest.linked[0] as usize];
                let stands = |s: &ImageSymbol<'_>| s.name == own.name && s.value == start;
                if start != 0 && image.symbols.iter().any(stands) {
                    return Err(undecided());
                }
                continue;
            };
            if !taken.insert(linked) {
                return Err(undecided());
            }
            for &copy in &claim.copies {
                self.linked[copy as usize] = Some(linked);
            }
        }
        Ok(())
    }

    /// Refuse a file that plainly is not made of these objects.
    fn check(&self, combiner: &Combiner<'_>) -> Result<()> {
        let functions = combiner
            .symbols
            .iter()
            .zip(&self.linked)
            // A weak one may have lost, which says nothing.
            .filter(|(s, _)| s.kind == elf::STT_FUNC.0 && s.binding != elf::STB_WEAK.0);
        let (all, found) = functions.fold((0, 0), |(all, found), (_, l)| {
            (all + 1, found + usize::from(l.is_some()))
        });
        if all >= 8 && found * 2 < all {
            return Err(Error::new(format!(
                "of the {all} functions that the objects define, only {found} are in this file"
            ))
            .hint("give the objects that it was linked from"));
        }
        Ok(())
    }

    /// Refuse an object of whose global functions none is in the file. Its source may have the name of
    /// one that was linked. Only code that linkers keep counts: a kernel discards `.exit.text`.
    fn check_each(
        &self,
        known: &Linked<'_>,
        combiner: &Combiner<'_>,
        objects: &[String],
    ) -> Result<()> {
        let mut found: HashMap<ObjectIndex, bool, Fast> = HashMap::default();
        for (symbol, linked) in combiner.symbols.iter().zip(&self.linked) {
            let section = combiner.strings.get(symbol.section);
            if symbol.kind == elf::STT_FUNC.0
                && symbol.binding == elf::STB_GLOBAL.0
                && section.starts_with(b".text")
            {
                let is = linked.is_some_and(|l| known.is_like(l, symbol));
                *found.entry(symbol.object).or_default() |= is;
            }
        }
        let lost = found.iter().filter(|(_, &found)| !found);
        let Some(first) = lost.map(|(&object, _)| object).min() else {
            return Ok(());
        };
        let path = objects.get(first as usize).map_or("", String::as_str);
        Err(Error::new(format!(
            "{path} is in the list of its objects, but none of its functions is in it"
        ))
        .at(known.image.path.display())
        .hint("run make again, or name the objects"))
    }

    /// A place in code, from a symbol of its section. Which one that is does not matter: the linker has
    /// moved the section as a whole, and the symbol itself may be overridden.
    pub fn locate_code(
        &self,
        combiner: &Combiner<'_>,
        image: &Image<'_>,
        place: Place,
    ) -> Option<Location> {
        if let Place::Symbol(symbol, offset) = place {
            let own = &combiner.symbols[symbol as usize];
            let moved = self.moves.get(&section_of(own)).copied().flatten();
            if let Some((section, by)) = moved.filter(|_| own.moves_whole) {
                let value = own.value.wrapping_add(offset).wrapping_add(by);
                return Some(Location { section, value });
            }
            if self.unsure.contains(&symbol) {
                return None;
            }
        }
        self.locate(image, place)
    }

    pub fn locate(&self, image: &Image<'_>, place: Place) -> Option<Location> {
        match place {
            Place::Unknown => None,
            Place::Address(value) => Some(Location { section: 0, value }),
            Place::Symbol(symbol, offset) => {
                let linked = self.linked[symbol as usize]?;
                let mut location = image.location(linked as usize);
                location.value = location.value.wrapping_add(offset);
                Some(location)
            }
        }
    }
}

/// In the key of a contest: symbols of all files take part.
const ANY_FILE: u32 = u32::MAX;

/// The local and the hidden symbols of all objects, each with those of the linked file that it may be.
fn gather(
    known: &Linked<'_>,
    combiner: &Combiner<'_>,
    objects: &[String],
    hidden: &[u32],
) -> Vec<Contest> {
    // An object that is given twice is as one.
    let mut first: HashMap<&str, ObjectIndex> = HashMap::new();
    let numbers: Vec<ObjectIndex> = (0..)
        .zip(objects)
        .map(|(i, path)| *first.entry(path).or_insert(i))
        .collect();
    // A hidden name is one symbol, whatever objects define and override it.
    let mut by_name: HashMap<u32, usize, Fast> = HashMap::default();
    let mut hidden_names: Vec<Vec<u32>> = Vec::new();
    for &i in hidden {
        let name = combiner.symbols[i as usize].name;
        let place = *by_name.entry(name).or_insert(hidden_names.len());
        if place == hidden_names.len() {
            hidden_names.push(Vec::new());
        }
        hidden_names[place].push(i);
    }
    // (object, file) -> file of the linked file
    let mut files: HashMap<u64, u32, Fast> = HashMap::default();
    // (file, name), kind, size -> contest
    let mut places: HashMap<(u64, u8, u64), usize, Fast> = HashMap::default();
    let mut contests: Vec<Contest> = Vec::new();
    for (i, symbol) in (0..).zip(&combiner.symbols) {
        if symbol.binding != elf::STB_LOCAL.0 {
            continue;
        }
        let key = pair(symbol.object, symbol.file);
        let file = *files.entry(key).or_insert_with(|| {
            let object = objects
                .get(symbol.object as usize)
                .map_or("", String::as_str);
            known.file(combiner.strings.get(symbol.file), object)
        });
        let file_and_name = match by_name.contains_key(&symbol.name) {
            true => pair(ANY_FILE, symbol.name),
            false => pair(file, symbol.name),
        };
        let size = match known.relaxes(symbol) {
            true => 0,
            false => symbol.size,
        };
        let likeness = (file_and_name, symbol.kind, size);
        let place = *places.entry(likeness).or_insert_with(|| {
            let linked = match by_name.contains_key(&symbol.name) {
                true => known.local_names.get(&symbol.name),
                false => known.locals.get(&file_and_name),
            };
            let linked = linked.into_iter().flatten().copied();
            contests.push(Contest {
                claims: Vec::new(),
                linked: linked.filter(|&l| known.is_like(l, symbol)).collect(),
            });
            contests.len() - 1
        });
        let claims = &mut contests[place].claims;
        let same = |s: &ObjectSymbol| {
            let number = |s: &ObjectSymbol| numbers.get(s.object as usize);
            (number(s), s.section, s.value) == (number(symbol), symbol.section, symbol.value)
        };
        let known_claim = claims
            .iter_mut()
            .find(|c| same(&combiner.symbols[c.copies[0] as usize]));
        match known_claim {
            Some(claim) => claim.copies.push(i),
            None => claims.push(Claim {
                copies: vec![i],
                file: Some(file),
            }),
        }
    }
    for mut copies in hidden_names {
        // The definition that counts goes first.
        copies.sort_by_key(|&i| {
            let symbol = &combiner.symbols[i as usize];
            (symbol.binding != elf::STB_GLOBAL.0, symbol.object)
        });
        let symbol = &combiner.symbols[copies[0] as usize];
        let likeness = (pair(ANY_FILE, symbol.name), symbol.kind, symbol.size);
        let place = *places.entry(likeness).or_insert_with(|| {
            let linked = known.local_names[&symbol.name].iter().copied();
            contests.push(Contest {
                claims: Vec::new(),
                linked: linked.filter(|&l| known.is_like(l, symbol)).collect(),
            });
            contests.len() - 1
        });
        contests[place].claims.push(Claim { copies, file: None });
    }
    contests.retain(|c| !c.linked.is_empty());
    contests
}

fn undecided(combiner: &Combiner<'_>, objects: &[String], contest: &Contest) -> Error {
    let symbol = |claim: &Claim| &combiner.symbols[claim.copies[0] as usize];
    let mut paths: Vec<&str> = contest
        .claims
        .iter()
        .filter_map(|c| objects.get(symbol(c).object as usize))
        .map(String::as_str)
        .collect();
    paths.sort_unstable();
    paths.dedup();
    let first = symbol(&contest.claims[0]);
    let what = match first.kind == elf::STT_FUNC.0 {
        true => "functions",
        false => "variables",
    };
    Error::new(format!(
        "cannot tell the static {what} {} of {} apart: files and symbols have equal names and sizes",
        printable(combiner.strings.get(first.name)),
        paths.join(" and "),
    ))
    .hint("encode the linked file with its debug information instead: KBUILD_BTF_KEEP_DEBUG=1")
}
