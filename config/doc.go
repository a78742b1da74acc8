// Package config reads the one file that says how Portico runs.
//
// The file is YAML and read strictly: an unknown key, a wrong type, a missing
// value and a value that makes no sense are all refused, all at once, each with
// file, line and column and with a sentence on how to mend it ([Problems]).
// Nothing is half-configured: [Load] returns a complete [Config] or none.
//
// Any value may be written as env:NAME and is then taken from the environment;
// secrets have to be. No value that came from a secret appears in a problem.
//
// The file is declarative. Reading it twice gives the same Config; realms and
// their clients become immutable values ([Config.Realms]) once, here. Defaults
// of lifetimes and policies stand in package realm, all others in this package,
// each in the line that reads the key.
//
// idp.example.yaml shows every key.
package config
