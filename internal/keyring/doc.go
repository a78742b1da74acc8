// Package keyring keeps the signing keys of realms.
//
// Every realm has keys of its own, for ES256 and for RS256. They are made at
// the first start ([Keyring.Ensure]), sealed under the key-encryption key and
// stored; of several replicas starting at once, one makes them and the others
// read them. Signing and verifying happen in memory and touch no database, so
// both go on while it is away, and so does the published key set
// ([Keyring.JWKS]).
//
// A key is published long before it signs and stays published until every
// token it signed has expired ([Keyring.Rotate]), so a relying party that
// caches the key set for less than a day never meets a key it does not know.
// [Keyring.RotateSoon] is for a key that has to stop signing now.
// Which key signs is decided by its row's times and the database's clock, so
// all replicas change over at the same moment. [Keyring.Worker] re-reads the
// keys, rotates old ones and removes expired ones; any number of replicas may
// run it.
//
// What is published and trusted comes from the sealed private keys, bound to
// their rows, never from the readable column beside them: whoever can write
// rows still cannot make the server trust a key.
package keyring
