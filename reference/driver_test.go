package reference

import (
	"bufio"
	"os"
	"runtime"
	"runtime/debug"
	"testing"

	"golang.org/x/sys/unix"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/klog/v2"
)

// TestDriver is the whole program: a bubble of testing/synctest wants a *testing.T, so the driver is the test binary of
// this package. It ends when its standard input ends.
func TestDriver(t *testing.T) {
	frames, err := takeOverStdout()
	if err != nil {
		t.Fatal(err)
	}
	// One thread of Go code at a time: goroutines hand over to each other in the same order every time as far as the Go
	// runtime can promise, and handing over is cheaper. Another driver can have the other core.
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(400)
	// The default handlers keep a package-wide time of the last error, and sleep if that is in the future of a bubble.
	utilruntime.ErrorHandlers = nil
	klog.SetLogger(backgroundLogger())

	driver := &driver{t: t, in: bufio.NewReaderSize(os.Stdin, 1<<16), out: bufio.NewWriterSize(frames, 1<<16)}
	if err := driver.serve(); err != nil {
		t.Fatal(err)
	}
}

// takeOverStdout keeps standard output for frames: what `testing` prints goes to standard error.
func takeOverStdout() (*os.File, error) {
	frames, err := unix.Dup(1)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(frames), "frames"), unix.Dup2(2, 1)
}
