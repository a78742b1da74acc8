// Package outbound is the one way in which the server calls addresses that
// clients gave it: key sets, logout endpoints, lists of redirect URIs.
//
// Whoever registers an address chooses where our requests go, so an address is
// treated as hostile:
//
//   - https only, with a certificate that is verified.
//   - Public addresses only, judged on the address that is connected to and not
//     on what the name resolved to earlier, so that neither a rebinding name
//     server nor an odd spelling of 127.0.0.1 gets through.
//   - Redirects are not followed, proxies of the environment are not used.
//   - Three seconds for everything, few calls at once, and a bounded answer.
//   - Turns are counted apart by what a call is for ([Budget]): logout endpoints
//     that hang delay no key set, and clients that registered themselves delay
//     none of the configuration's.
//
// Configuration may exempt named hosts, for tests and for clients in the same
// house: they may be plain http and on private addresses. The rest holds for
// them too.
package outbound
