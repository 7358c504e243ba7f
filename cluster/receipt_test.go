package cluster

import (
	"encoding/json"
	"testing"
)

// What the quick reader reads it reads as the whole one does, and nothing else.
func TestQuickReceipt(t *testing.T) {
	t.Parallel()
	for text, quick := range map[string]bool{
		`{"stream":"TRI_a_T0", "seq":17}`:                      true,
		`{"stream":"TRI_a_T0","seq":17}`:                       true,
		`{"stream":"TRI_a_T0", "seq":123456789012345678}`:      true,
		`{"stream":"S", "seq":1234567890123456789}`:            false,
		`{"stream":"S", "seq":17,"duplicate": true}`:           false,
		`{"stream":"S", "domain":"d", "seq":17}`:               false,
		`{"stream":"S", "seq":17,"val":"4"}`:                   false,
		`{"error":{"code":503,"err_code":10077},"stream":"S"}`: false,
		`{"stream":"S", "seq":}`:                               false,
		`{"stream":"S", "seq":0}`:                              false,
		`{"stream":"S", "seq":-1}`:                             false,
		`{"stream":"S`:                                         false,
		``:                                                     false,
	} {
		got, ok := quickReceipt([]byte(text))
		if ok != quick {
			t.Errorf("quickReceipt(%s) = %v, want %v", text, ok, quick)
		}
		var want receipt
		if err := json.Unmarshal([]byte(text), &want); ok && (err != nil || got != want) {
			t.Errorf("quickReceipt(%s) = %+v, want %+v, %v", text, got, want, err)
		}
	}
}
