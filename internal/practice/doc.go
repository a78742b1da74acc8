// Package practice knows practices, the staff who work there, the patients in
// their care, and who stands for whom.
//
// It owns the tables practices, staff_roles, staff_members, staff_persons,
// patients, associations, patient_search_keys and practice_invitations. It does not own accounts: it reads the
// facts of a guardian (name, login email, the emails of before, state) by joining
// them, and never writes them. It has no pages and no routes; package admin serves what is
// read here, imports and the demo write it with the Upsert functions.
//
// # Scope
//
// What a member of staff may see is decided inside the SQL, along one path:
//
//	staff_roles → practices → patients → associations → accounts
//
// Every reading method takes the account of the person who asks and returns
// ErrNotFound for what lies outside that path, exactly as for what does not
// exist. No practice identifier from a request is ever used to widen a query.
// Roles are read with each query, so a role that was taken away counts from
// the next request on.
//
// # Finding people
//
// A patient is found by prefixes of folded keys: case and accents are folded in
// Go (see Fold), every word of a name starts a key ("maria de la cruz",
// "de la cruz", "la cruz", "cruz"), and so does the name written the other way
// round ("cruz maria"). Keys of kind "patient" hold the patient's own name,
// keys of kind "account" the guardians' names and login emails and the account
// number. Searching is a range over an index, a page starts after the last
// (sort_key, id) of the one before: the cost does not grow with the page.
// Whoever changes the name or the login email of an account calls Reindex in
// the same transaction.
//
// # Strangers
//
// Staff may tie a patient to an address, or make its owner a colleague, without
// knowing who has an account with it. What they typed then stands for the account
// in everything that is read and searched here (Tie.Hidden, Member.Hidden), until
// its owner has signed in since. CleanUp, a few minutes later, has the patient
// found by the account's own name. What was given to an address whose owner has not
// come lapses when the account gets another one (Lapse).
//
// # Promises
//
// Upserts are idempotent: applying the same import twice changes nothing.
// Whoever changes roles leaves an event in the same transaction. An import's
// word about an association outranks what staff have made (Invite, Withdraw), and
// so does its word about a role (GivenAt). CountInvitation counts exactly.
package practice
