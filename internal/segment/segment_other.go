//go:build !linux

package segment

func create(string, int) (int, []byte, error)  { return -1, nil, ErrUnsupported }
func reserve(string, int) (int, []byte, error) { return -1, nil, ErrUnsupported }
func punch(int, int, int) error                { return ErrUnsupported }
func room(int) error                           { return nil }
func receive(int) ([]byte, error)              { return nil, ErrUnsupported }
func sameFile(int, int) (bool, error)          { return false, ErrUnsupported }
func populate([]byte)                          {}
func unmap([]byte)                             {}
func closeFD(int)                              {}
