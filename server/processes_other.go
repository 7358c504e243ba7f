//go:build !linux

package server

import (
	"context"
	"errors"
)

func (Processes) open(context.Context, *room) (engine, error) {
	return nil, errors.Join(ErrUnsupported, errors.New("server: the model Processes hands descriptors over as Linux does"))
}
