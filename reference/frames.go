package reference

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// frameBytesMax is the size that neither side may exceed.
const frameBytesMax = 64 << 20

// readFrame returns io.EOF when the other side has closed the pipe between two frames.
func readFrame(in *bufio.Reader) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(in, length[:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(length[:])
	if size > frameBytesMax {
		return nil, fmt.Errorf("a frame of %d bytes is too long", size)
	}
	frame := make([]byte, size)
	if _, err := io.ReadFull(in, frame); err != nil {
		return nil, fmt.Errorf("a frame ends early: %w", err)
	}
	return frame, nil
}

func writeFrame(out *bufio.Writer, answer any) error {
	frame, err := encode(answer)
	if err == nil && len(frame) > frameBytesMax {
		err = errors.New("the answer is too long for a frame")
	}
	if err != nil {
		frame, _ = json.Marshal(failure{Error: err.Error()})
	}
	var length [4]byte
	binary.BigEndian.PutUint32(length[:], uint32(len(frame)))
	if _, err := out.Write(length[:]); err != nil {
		return err
	}
	if _, err := out.Write(frame); err != nil {
		return err
	}
	return out.Flush()
}
