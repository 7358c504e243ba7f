//go:build !linux

package segment

func create(string, int) (int, []byte, error) { return -1, nil, ErrUnsupported }
func receive(int) ([]byte, error)             { return nil, ErrUnsupported }
func sameFile(int, int) (bool, error)         { return false, ErrUnsupported }
func populate([]byte)                         {}
func unmap([]byte)                            {}
func closeFD(int)                             {}
