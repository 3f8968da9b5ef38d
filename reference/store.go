package reference

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sort"
	"strconv"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/storage"
)

// store is what etcd is to a real API server: objects by key, each in its stored form. Only the root goroutine of a run touches
// it, so it has no lock.
type store struct {
	objects map[string]*object
	// gone has the last version of what was there.
	gone map[string]*object
	// base is the resource version before the first change.
	base    uint64
	changes []change
	// created counts the objects of each resource that were ever created: it makes the next uid.
	created map[string]uint32
	// creating is the resource of the create request that is being handled.
	creating string
}

// object is one object, as stored and as everybody sees it.
type object struct {
	resource string
	key      string
	// data is the stored form: protobuf, without resource version.
	data    []byte
	version uint64
	// versioned is the object as clients know it, document is the same in JSON. protobuf is made when somebody wants it.
	versioned runtime.Object
	document  []byte
	protobuf  []byte
	// number counts the objects of the kind, in order of creation.
	number int
}

func newStore() *store {
	return &store{objects: map[string]*object{}, gone: map[string]*object{}, created: map[string]uint32{}}
}

// seq is the sequence number of the last change, and the resource version of the store.
func (s *store) seq() uint64 { return s.base + uint64(len(s.changes)) }

// between returns the changes after one sequence number, up to another.
func (s *store) between(after, upTo uint64) []change {
	return s.changes[after-s.base : upTo-s.base : upTo-s.base]
}

func (s *store) record(kind string, o *object) {
	s.changes = append(s.changes, change{kind, o})
}

// list returns the objects of a resource in the order of their keys, as etcd does.
func (s *store) list(resource string) []*object {
	var found []*object
	for _, o := range s.objects {
		if o.resource == resource {
			found = append(found, o)
		}
	}
	sort.Slice(found, func(i, j int) bool { return found[i].key < found[j].key })
	return found
}

// Read gives the bytes of the next uid to the package that makes uids: 00000000-0000-4000-8000-KKKKNNNNNNNN.
func (s *store) Read(p []byte) (int, error) {
	var uid [16]byte
	binary.BigEndian.PutUint16(uid[10:], resourceNumbers[s.creating])
	binary.BigEndian.PutUint32(uid[12:], s.created[s.creating])
	return copy(p, uid[:]), nil
}

var resourceNumbers = map[string]uint16{"jobs": 1, "pods": 2}

// shelf is the part of the store that holds one resource: what Kubernetes' registry takes for etcd. Methods that the
// registry does not call are missing on purpose; calling them is a fault of this driver.
type shelf struct {
	storage.Interface
	server   *server
	resource *resource
}

func (s *shelf) Versioner() storage.Versioner { return storage.APIObjectVersioner{} }

func (s *shelf) Create(_ context.Context, key string, obj, out runtime.Object, _ uint64) error {
	store := s.server.store
	if version, err := s.Versioner().ObjectResourceVersion(obj); err == nil && version != 0 {
		return errors.New("resourceVersion should not be set on objects to be created")
	}
	data, err := s.encode(obj)
	if err != nil {
		return err
	}
	if _, there := store.objects[key]; there {
		return storage.NewKeyExistsError(key, 0)
	}
	created := &object{resource: s.resource.name, key: key, data: data}
	if err := s.put(created, out); err != nil {
		return err
	}
	store.created[s.resource.name]++
	store.objects[key] = created
	store.record("ADDED", created)
	return nil
}

func (s *shelf) Get(_ context.Context, key string, options storage.GetOptions, out runtime.Object) error {
	found, there := s.server.store.objects[key]
	if !there {
		if options.IgnoreNotFound {
			return runtime.SetZeroValue(out)
		}
		return storage.NewKeyNotFoundError(key, 0)
	}
	return s.decode(found, out)
}

func (s *shelf) GuaranteedUpdate(
	_ context.Context, key string, destination runtime.Object, ignoreNotFound bool,
	preconditions *storage.Preconditions, tryUpdate storage.UpdateFunc, _ runtime.Object,
) error {
	store := s.server.store
	found, there := store.objects[key]
	if !there && !ignoreNotFound {
		return storage.NewKeyNotFoundError(key, 0)
	}
	current := s.resource.newInternal()
	if !there {
		// Older registries leave it to tryUpdate to say that there is no such object.
		found = &object{}
	} else if err := s.decode(found, current); err != nil {
		return err
	}
	if err := preconditions.Check(key, current); err != nil {
		return err
	}
	wanted, _, err := tryUpdate(current, storage.ResponseMeta{ResourceVersion: found.version})
	if err != nil {
		return err
	}
	data, err := s.encode(wanted)
	if err != nil {
		return err
	}
	if !there {
		return fmt.Errorf("%s cannot be created by an update", key)
	}
	if bytes.Equal(data, found.data) {
		return s.decode(found, destination)
	}
	updated := &object{resource: s.resource.name, key: key, data: data}
	if err := s.put(updated, destination); err != nil {
		return err
	}
	store.objects[key] = updated
	store.record("MODIFIED", updated)
	return nil
}

func (s *shelf) remove(
	ctx context.Context, key string, out runtime.Object, preconditions *storage.Preconditions, validate storage.ValidateObjectFunc,
) error {
	store := s.server.store
	found, there := store.objects[key]
	if !there {
		return storage.NewKeyNotFoundError(key, 0)
	}
	current := s.resource.newInternal()
	if err := s.decode(found, current); err != nil {
		return err
	}
	if preconditions != nil {
		if err := preconditions.Check(key, current); err != nil {
			return err
		}
	}
	if err := validate(ctx, current); err != nil {
		return err
	}
	removed := &object{resource: s.resource.name, key: key, data: found.data}
	if err := s.put(removed, out); err != nil {
		return err
	}
	delete(store.objects, key)
	store.gone[key] = removed
	store.record("DELETED", removed)
	return nil
}

// put gives an object the next version, and fills in what is derived from its stored form.
func (s *shelf) put(o *object, out runtime.Object) error {
	o.version = s.server.store.seq() + 1
	if err := s.decode(o, out); err != nil {
		return err
	}
	if err := s.resource.write(o, out); err != nil {
		return err
	}
	o.number = creationNumber(o.versioned)
	return nil
}

func (s *shelf) encode(obj runtime.Object) ([]byte, error) {
	if err := s.Versioner().PrepareObjectForStorage(obj); err != nil {
		return nil, err
	}
	return runtime.Encode(s.resource.stored, obj)
}

// decode reads the stored form; defaults are filled in as at every read from etcd.
func (s *shelf) decode(o *object, into runtime.Object) error {
	if _, _, err := s.resource.stored.Decode(o.data, nil, into); err != nil {
		return err
	}
	return s.Versioner().UpdateObject(into, o.version)
}

// creationNumber is the last part of an object's uid.
func creationNumber(obj runtime.Object) int {
	accessor, err := meta.Accessor(obj)
	if err != nil {
		return -1
	}
	return uidNumber(accessor.GetUID())
}

func uidNumber(uid types.UID) int {
	number, err := strconv.ParseUint(string(uid[max(0, len(uid)-8):]), 16, 32)
	if err != nil {
		return -1
	}
	return int(number)
}

func parseIndex(text string) int {
	index, err := strconv.Atoi(text)
	if err != nil {
		return -1
	}
	return index
}
