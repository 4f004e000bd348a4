// SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
//! Features, by pahole's names, as kernels ask for them in `--btf_features=`.

macro_rules! features {
    ($($field:ident = $default:literal,)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct Features { $(pub $field: bool,)* }

        impl Features {
            pub const NAMES: &'static [&'static str] = &[$(stringify!($field),)*];

            /// What pahole turns on by itself.
            pub const STANDARD: Features = Features { $($field: $default,)* };

            pub const NONE: Features = Features { $($field: false,)* };

            fn field(&mut self, name: &str) -> Option<&mut bool> {
                match name {
                    $(stringify!($field) => Some(&mut self.$field),)*
                    _ => None,
                }
            }
        }
    };
}

features! {
    encode_force = true,
    var = true,
    float = true,
    decl_tag = true,
    type_tag = true,
    enum64 = true,
    optimized_func = true,
    consistent_func = true,
    decl_tag_kfuncs = true,
    reproducible_build = false,
    distilled_base = false,
    global_var = false,
    attributes = false,
    true_signature = false,
    layout = false,
    inline = false,
}

impl Features {
    /// Without `--btf_features=`: what pahole did before it had that option.
    pub const LEGACY: Features = Features {
        decl_tag: true,
        type_tag: true,
        enum64: true,
        var: true,
        ..Features::NONE
    };

    /// Apply one list, comma separated: names, `default`, or `+name` for the standard set and more.
    /// The names that nobody knows are returned.
    pub fn turn_on<'t>(&mut self, list: &'t str) -> Vec<&'t str> {
        let mut unknown = Vec::new();
        let list = match list.strip_prefix('+') {
            Some(rest) => {
                self.merge(Features::STANDARD);
                rest
            }
            None => list,
        };
        for name in list.split(',').map(str::trim).filter(|n| !n.is_empty()) {
            let name = name.trim_start_matches('+');
            if name == "default" {
                self.merge(Features::STANDARD);
            } else if let Some(field) = self.field(name) {
                *field = true;
            } else {
                unknown.push(name);
            }
        }
        unknown
    }

    /// Turn one feature on or off; unknown names change nothing.
    pub fn set(&mut self, name: &str, on: bool) {
        if let Some(field) = self.field(name) {
            *field = on;
        }
    }

    fn merge(&mut self, other: Features) {
        let mut other = other;
        for name in Features::NAMES {
            if other.field(name).is_some_and(|on| *on) {
                if let Some(field) = self.field(name) {
                    *field = true;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(lists: &[&str]) -> Features {
        let mut features = Features::NONE;
        for list in lists {
            features.turn_on(list);
        }
        features
    }

    #[test]
    fn lists_accumulate_and_plus_means_the_standard_set() {
        assert!(from(&["var"]).var && !from(&["var"]).float);
        assert_eq!(from(&["default"]), Features::STANDARD);
        let plus = from(&["var,float", "+reproducible_build"]);
        assert!(plus.reproducible_build && plus.decl_tag_kfuncs && !plus.global_var);
    }

    #[test]
    fn names_what_it_does_not_know() {
        assert_eq!(Features::NONE.clone().turn_on("var,nonsense"), ["nonsense"]);
    }
}
