//! `declare!`: one list of settings, and all that follows from it.

use serde_json::{Map, Value};

use super::{Config, IntoSetting, Reader, Setting, unknown};
use crate::error::{Error, Result, entry};
use crate::nn::names::snake_case;

/// An object whose settings were declared.
pub(crate) trait Declared {
    /// Keras's name of the class.
    fn class(&self) -> &'static str;

    /// Refuses settings that make no sense, alone or together.
    fn check(&self) -> Result<()>;

    /// All settings, as Keras writes them.
    fn settings(&self) -> Result<Map<String, Value>>;

    /// Sets what the configuration names.
    fn read(&mut self, reader: &mut Reader<'_>) -> Result<()>;
}

/// Declares a class by its settings: `key: Type where check = default`, each with its documentation.
///
/// ```ignore
/// declare! {
///     /// What it computes.
///     pub struct Conv2D(               // `as "Name"`, if Keras calls it by another
///         /// Output channels.             // an argument of `new`; with a default, a configuration may leave it out
///         filters: usize where positive,
///     ) {
///         /// Steps between windows.       // with one: a builder method
///         strides: Pair where positive = Pair(1, 1),
///     }
///     fixed { data_format: "channels_last" }   // what Keras has besides, and has one value here
///     newer { quantization: null }             // the same of new versions of Keras: read, but not written
///     state { built: Option<Built> }           // what is no setting
///     check agrees                             // a method that sees all settings together
/// }
/// ```
///
/// Written from it: the struct, `new` with the settings that have no default (else `Default` and `new` without
/// arguments), a builder method for each other setting, `from_config`, and [`Declared`], from which `declared!` makes
/// the methods that traits ask for.
/// A `part AdamRule as "Adam" of [impl Optimizer<AdamRule>] at rule` has its builder methods on its owner, and no
/// constructor; `rule` is a field of what the owner's `state_mut` gives.
/// A value that makes no sense is kept as an error, with the line it was given on, until the object is used.
macro_rules! declare {
    (
        $(#[$meta:meta])*
        pub struct $name:ident $(as $class:literal)? {
            $($(#[$doc:meta])* $key:ident: $ty:ty $(where $check:ident)? = $default:expr),* $(,)?
        }
        $($rest:tt)*
    ) => {
        $crate::nn::config::declare! { @object
            [$(#[$meta])* pub] $name [$crate::nn::config::declare!(@class $name $($class)?)] []
            [$($key: $ty, [$($check)?], $default;)*]
            $($rest)*
        }
        $crate::nn::config::declare! { @builders [impl $name] []
            [$crate::nn::config::declare!(@class $name $($class)?)] [$($(#[$doc])* $key: $ty, [$($check)?], $default;)*]
        }
        $crate::nn::config::declare! { @read $name [] }

        impl $name {
            /// With Keras's defaults.
            pub fn new() -> Self {
                $name::initial()
            }
        }

        impl Default for $name {
            fn default() -> Self {
                $name::initial()
            }
        }
    };
    (
        $(#[$meta:meta])*
        pub struct $name:ident $(as $class:literal)? (
            $(
                $(#[$needed_doc:meta])*
                $needed:ident: $needed_ty:ty $(where $needed_check:ident)? $(= $needed_default:expr)?
            ),+ $(,)?
        ) {
            $($(#[$doc:meta])* $key:ident: $ty:ty $(where $check:ident)? = $default:expr),* $(,)?
        }
        $($rest:tt)*
    ) => {
        $crate::nn::config::declare! { @object
            [$(#[$meta])* pub] $name [$crate::nn::config::declare!(@class $name $($class)?)]
            [$($needed: $needed_ty, [$($needed_check)?], [$($needed_default)?];)*]
            [$($key: $ty, [$($check)?], $default;)*]
            $($rest)*
        }
        $crate::nn::config::declare! { @builders [impl $name] []
            [$crate::nn::config::declare!(@class $name $($class)?)] [$($(#[$doc])* $key: $ty, [$($check)?], $default;)*]
        }
        $crate::nn::config::declare! { @read $name [$($needed, [$($needed_check)?], [$($needed_default)?];)*] }

        impl $name {
            /// With Keras's defaults, and
            $(
                #[doc = concat!("* `", stringify!($needed), "`:")]
                $(#[$needed_doc])*
            )*
            #[track_caller]
            pub fn new($($needed: impl $crate::nn::config::IntoSetting<$needed_ty>),*) -> Self {
                const CLASS: &str = $crate::nn::config::declare!(@class $name $($class)?);
                let mut made = $name::initial();
                $($crate::nn::config::set(
                    &mut made.$needed,
                    &mut made.invalid,
                    (CLASS, stringify!($needed)),
                    $needed,
                    $crate::nn::config::declare!(@check [$($needed_check)?]),
                );)*
                made
            }
        }
    };
    (
        $(#[$meta:meta])*
        $vis:vis part $name:ident as $class:tt of [$($owner:tt)*] at $at:ident {
            $($(#[$doc:meta])* $key:ident: $ty:ty $(where $check:ident)? = $default:expr),* $(,)?
        }
        $($rest:tt)*
    ) => {
        $crate::nn::config::declare! { @object
            [$(#[$meta])* $vis] $name [$class] [] [$($key: $ty, [$($check)?], $default;)*]
            $($rest)*
        }
        $crate::nn::config::declare! { @builders [$($owner)*] [$at]
            [$class] [$($(#[$doc])* $key: $ty, [$($check)?], $default;)*]
        }
    };
    (@object
        [$($head:tt)*] $name:ident [$class:expr]
        [$($needed:ident: $needed_ty:ty, $needed_check:tt, [$($needed_default:expr)?];)*]
        [$($key:ident: $ty:ty, [$($check:ident)?], $default:expr;)*]
        $(fixed { $($fixed:ident: $fixed_value:tt),* $(,)? })?
        $(newer { $($newer:ident: $newer_value:tt),* $(,)? })?
        $(state { $($state:ident: $state_ty:ty),* $(,)? })?
        $(check $together:ident)?
    ) => {
        $($head)* struct $name {
            $($needed: $needed_ty,)*
            $($key: $ty,)*
            $($($state: $state_ty,)*)?
            /// The first setting that was refused.
            invalid: Option<$crate::error::Error>,
        }

        impl $name {
            /// Every setting at its default.
            fn initial() -> Self {
                $name {
                    $($needed: $crate::nn::config::declare!(@initial [$($needed_default)?]),)*
                    $($key: $default,)*
                    $($($state: Default::default(),)*)?
                    invalid: None,
                }
            }
        }

        impl $crate::nn::config::Declared for $name {
            fn class(&self) -> &'static str {
                $class
            }

            fn check(&self) -> $crate::error::Result<()> {
                if let Some(error) = &self.invalid {
                    return Err(error.clone());
                }
                $(self.$together()?;)?
                Ok(())
            }

            fn settings(&self) -> $crate::error::Result<serde_json::Map<String, serde_json::Value>> {
                Ok($crate::nn::config::gathered(vec![
                    $((stringify!($needed), $crate::nn::config::Setting::to_json(&self.$needed)?),)*
                    $((stringify!($key), $crate::nn::config::Setting::to_json(&self.$key)?),)*
                    $($((stringify!($fixed), serde_json::json!($fixed_value)),)*)?
                ]))
            }

            fn read(&mut self, reader: &mut $crate::nn::config::Reader<'_>) -> $crate::error::Result<()> {
                $(if let Some(value) =
                    reader.take(stringify!($key), $crate::nn::config::declare!(@check [$($check)?]))?
                {
                    self.$key = value;
                })*
                $($(reader.fixed(stringify!($fixed), &serde_json::json!($fixed_value))?;)*)?
                $($(reader.fixed(stringify!($newer), &serde_json::json!($newer_value))?;)*)?
                let _ = reader;
                Ok(())
            }
        }
    };
    (@builders [$($owner:tt)*] $at:tt [$class:expr]
        [$($(#[$doc:meta])* $key:ident: $ty:ty, [$($check:ident)?], $default:expr;)*]
    ) => {
        $($owner)* {$(
            $crate::nn::config::declare! { @builder
                $at [$class] [$(#[$doc])*] $key, $ty, [$($check)?], [$default]
            }
        )*}
    };
    (@builder $at:tt [$class:expr] [$($doc:tt)*] $key:ident, $ty:ty, $check:tt, [$default:expr]) => {
        $($doc)*
        ///
        #[doc = concat!("Default: `", stringify!($default), "`.")]
        #[track_caller]
        pub fn $key(mut self, $key: impl $crate::nn::config::IntoSetting<$ty>) -> Self {
            {
                $crate::nn::config::declare!(@part settings of self $at);
                $crate::nn::config::set(
                    &mut settings.$key,
                    &mut settings.invalid,
                    ($class, stringify!($key)),
                    $key,
                    $crate::nn::config::declare!(@check $check),
                );
            }
            self
        }
    };
    (@part $part:ident of $owner:ident []) => { let $part = &mut $owner; };
    (@part $part:ident of $owner:ident [$at:ident]) => {
        let mut state = $owner.state_mut();
        let $part = &mut state.$at;
    };
    (@read $name:ident [$($needed:ident, $needed_check:tt, $needed_default:tt;)*]) => {
        impl $name {
            /// From a configuration of this class; a setting that is left out has its default.
            ///
            /// # Errors
            /// A setting that is missing, that the class does not have, or that makes no sense.
            #[track_caller]
            pub fn from_config(config: &$crate::nn::config::Config) -> $crate::error::Result<Self> {
                $crate::error::entry(|| {
                    let mut reader = $crate::nn::config::Reader::new(config);
                    let mut made = $name::initial();
                    $($crate::nn::config::declare! { @need made, reader, $needed, $needed_check, $needed_default })*
                    $crate::nn::config::Declared::read(&mut made, &mut reader)?;
                    reader.finish()?;
                    $crate::nn::config::Declared::check(&made)?;
                    Ok(made)
                })
            }
        }
    };
    (@need $made:ident, $reader:ident, $key:ident, $check:tt, []) => {
        $made.$key = $reader.require(stringify!($key), $crate::nn::config::declare!(@check $check))?;
    };
    (@need $made:ident, $reader:ident, $key:ident, $check:tt, [$default:expr]) => {
        if let Some(value) = $reader.take(stringify!($key), $crate::nn::config::declare!(@check $check))? {
            $made.$key = value;
        }
    };
    (@initial []) => { Default::default() };
    (@initial [$default:expr]) => { $default };
    (@class $name:ident) => { stringify!($name) };
    (@class $name:ident $class:literal) => { $class };
    (@check []) => { $crate::nn::config::any };
    (@check [$check:ident]) => { $check };
}
pub(crate) use declare;

/// Settings by key: one function of its own, since each `collect` brings a sort of its own into the program.
pub(crate) fn gathered(settings: Vec<(&'static str, Value)>) -> Map<String, Value> {
    settings.into_iter().map(|(key, value)| (key.to_string(), value)).collect()
}

/// The methods that a trait of declared objects asks for; the argument is Keras's module.
macro_rules! declared {
    ($module:literal) => {
        fn class_name(&self) -> &'static str {
            $crate::nn::config::Declared::class(self)
        }

        fn config(&self) -> $crate::error::Result<$crate::nn::config::Config> {
            $crate::nn::config::Config::of(self, $module)
        }

        fn check(&self) -> $crate::error::Result<()> {
            $crate::nn::config::Declared::check(self)
        }
    };
}
pub(crate) use declared;

/// Gives a setting its value, or keeps the error with the line it was given on.
#[track_caller]
pub(crate) fn set<T: Setting>(
    slot: &mut T,
    invalid: &mut Option<Error>,
    (class, key): (&str, &str),
    value: impl IntoSetting<T>,
    check: fn(&T) -> Option<&'static str>,
) {
    match entry(|| checked(class, key, value.into_setting()?, check)) {
        Ok(value) => *slot = value,
        Err(error) => {
            invalid.get_or_insert(error);
        }
    }
}

/// The value, if the check allows it.
pub(crate) fn checked<T: Setting>(
    class: &str,
    key: &str,
    value: T,
    check: fn(&T) -> Option<&'static str>,
) -> Result<T> {
    let Some(expected) = check(&value) else { return Ok(value) };
    // NaN has no JSON.
    let shown = value
        .to_json()
        .map_or_else(|_| "?".into(), |json| if json.is_null() { "NaN".into() } else { json.to_string() });
    Err(Error::setting(&format!("`{class}`"), key, shown, expected))
}

/// A class of a kind: its name, other names of its defaults, and how it is made.
pub(crate) struct Class<T: ?Sized> {
    pub(crate) name: &'static str,
    pub(crate) aliases: &'static [&'static str],
    pub(crate) make: fn(&Config) -> Result<Box<T>>,
}

/// The classes of a kind, one a line: the type, and other names that strings may have for it.
macro_rules! classes {
    ($kind:ty: $($class:ident $(as $name:literal)? $($alias:literal)*),* $(,)?) => {
        &[$($crate::nn::config::Class::<$kind> {
            name: $crate::nn::config::declare!(@class $class $($name)?),
            aliases: &[$($alias),*],
            make: |config| Ok(Box::new($class::from_config(config)?)),
        }),*]
    };
}
pub(crate) use classes;

/// The object of a configuration; `what` names the kind in errors.
#[track_caller]
pub(crate) fn from_config<T: ?Sized>(classes: &[Class<T>], what: &str, config: &Config) -> Result<Box<T>> {
    entry(|| {
        let found = classes.iter().find(|class| class.name == config.class_name());
        let known = || unknown(what, config.class_name(), classes.iter().map(|class| class.name));
        (found.ok_or_else(known)?.make)(config)
    })
}

/// The object that a string names, with its default settings: by its class, the class in snake case, or an alias.
pub(crate) fn by_name<T: ?Sized>(classes: &[Class<T>], what: &str, name: &str) -> Result<Box<T>> {
    let wanted = name.to_ascii_lowercase();
    let is = |class: &&Class<T>| {
        class.name.to_ascii_lowercase() == wanted
            || snake_case(class.name) == wanted
            || class.aliases.contains(&wanted.as_str())
    };
    match classes.iter().find(is) {
        Some(class) => (class.make)(&Config::new(class.name)),
        None => {
            let names: Vec<String> = classes.iter().map(|class| snake_case(class.name)).collect();
            let known = names.iter().zip(classes).flat_map(|(name, class)| [&[name.as_str()], class.aliases].concat());
            Err(unknown(what, name, known))
        }
    }
}
