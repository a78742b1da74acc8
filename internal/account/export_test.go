package account

// Told reports whether the history tells of a kind of event.
func Told(kind string) bool { return told[kind] != nil }

// Network is network.
var Network = network
