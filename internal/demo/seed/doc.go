// Package seed holds the demo's people: two practices, their staff, about a
// dozen families and who stands for whom, as plain values. Everybody in it is
// invented.
//
// It owns the values, the order in which they are put into a provider
// ([Apply], through the interface [Target]) and the facts document that the
// mailbox serves to scripts ([Describe]). It does not know the provider.
//
// Promises: identifiers, passwords and answers are the same at every start;
// applying the data to a provider that has it already leaves accounts alone,
// so what people did in between stays.
package seed
