package wire

import "github.com/fxamacker/cbor/v2"

// General returns the way that is taken for what is not plain.
func General() (cbor.EncMode, cbor.DecMode) {
	m := get()
	return m.enc, m.dec
}
