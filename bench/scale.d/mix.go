// The two mixes, request for request as containerd pulls and pushes an image.
package main

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"
)

const (
	kib          = 1024
	configSize   = 2 * kib
	pushedLayer  = 256 * kib
	largeLayer   = 16 * kib * kib
	images       = 16
	manifestType = "application/vnd.oci.image.manifest.v1+json"
)

// Sizes of a pulled image's layers.
var pulledLayers = []int{64 * kib, 256 * kib, 1024 * kib}

type blob struct {
	digest  string
	size    int
	content []byte
}

type image struct {
	repository, tag  string
	manifest, config blob
	layers           []blob
}

func newBlob(content []byte) blob {
	return blob{fmt.Sprintf("sha256:%x", sha256.Sum256(content)), len(content), content}
}

type descriptor struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Size      int    `json:"size"`
}

func newImage(repository, tag string, config []byte, layers ...[]byte) image {
	made := image{repository: repository, tag: tag, config: newBlob(config)}
	var described []descriptor
	for _, layer := range layers {
		blob := newBlob(layer)
		made.layers = append(made.layers, blob)
		described = append(described, descriptor{"application/vnd.oci.image.layer.v1.tar+gzip", blob.digest, blob.size})
	}
	manifest, err := json.Marshal(map[string]any{
		"schemaVersion": 2,
		"mediaType":     manifestType,
		"config":        descriptor{"application/vnd.oci.image.config.v1+json", made.config.digest, made.config.size},
		"layers":        described,
	})
	if err != nil {
		panic(err)
	}
	made.manifest = newBlob(manifest)
	return made
}

func random(source *rand.Rand, size int) []byte {
	content := make([]byte, size)
	source.Read(content)
	return content
}

// pulledImages are the same in every run, so that none needs to be told of them.
func pulledImages() []image {
	source := rand.New(rand.NewSource(1))
	var made []image
	for n := range images {
		var layers [][]byte
		for _, size := range pulledLayers {
			layers = append(layers, random(source, size))
		}
		made = append(made, newImage(fmt.Sprintf("pulled/image%02d", n), "v1", random(source, configSize), layers...))
	}
	return made
}

// largeImage is one whose requests count less than its bytes.
func largeImage() image {
	source := rand.New(rand.NewSource(2))
	return newImage("pulled/large", "v1", random(source, configSize), random(source, largeLayer))
}

// seed pushes what the pulls need.
func seed(registry string) error {
	client := newClient(registry, 1, nil)
	for _, image := range append(pulledImages(), largeImage()) {
		if err := client.push(image); err != nil {
			return err
		}
	}
	return nil
}

// pull is one pull: the tag is resolved, then everything is fetched by digest.
func (c *client) pull(image image) error {
	path := "/v2/" + image.repository
	if err := c.fetch("HEAD manifest by tag", "HEAD", path+"/manifests/"+image.tag, 0); err != nil {
		return err
	}
	if err := c.fetch("GET manifest by digest", "GET", path+"/manifests/"+image.manifest.digest, image.manifest.size); err != nil {
		return err
	}
	if err := c.fetch("GET config", "GET", path+"/blobs/"+image.config.digest, image.config.size); err != nil {
		return err
	}
	return c.pullLayers(image)
}

func (c *client) pullLayers(image image) error {
	for _, layer := range image.layers {
		if err := c.fetch("GET layer", "GET", "/v2/"+image.repository+"/blobs/"+layer.digest, layer.size); err != nil {
			return err
		}
	}
	return nil
}

func (c *client) fetch(kind, method, path string, wanted int) error {
	header := http.Header{"Accept": {manifestType}}
	_, size, err := c.request(kind, method, path, header, nil, http.StatusOK)
	if err == nil && size != wanted {
		err = fmt.Errorf("%s: %d bytes instead of %d", path, size, wanted)
	}
	return err
}

// push is one push: each blob is looked for, then sent; the manifest comes last.
func (c *client) push(image image) error {
	path := "/v2/" + image.repository
	for _, layer := range image.layers {
		if err := c.pushBlob(path, "layer", layer); err != nil {
			return err
		}
	}
	if err := c.pushBlob(path, "config", image.config); err != nil {
		return err
	}
	header := http.Header{"Content-Type": {manifestType}}
	_, _, err := c.request("PUT manifest", "PUT", path+"/manifests/"+image.tag, header, image.manifest.content, http.StatusCreated)
	return err
}

func (c *client) pushBlob(path, what string, blob blob) error {
	_, _, err := c.request("HEAD "+what, "HEAD", path+"/blobs/"+blob.digest, nil, nil, http.StatusNotFound, http.StatusOK)
	if err != nil {
		return err
	}
	answer, _, err := c.request("POST upload", "POST", path+"/blobs/uploads/", nil, nil, http.StatusAccepted)
	if err != nil {
		return err
	}
	location, err := answer.Location()
	if err != nil {
		return err
	}
	query := location.Query()
	query.Set("digest", blob.digest)
	put := url.URL{Path: location.Path, RawQuery: query.Encode()}
	header := http.Header{"Content-Type": {"application/octet-stream"}}
	_, _, err = c.request("PUT "+what, "PUT", put.String(), header, blob.content, http.StatusCreated)
	return err
}

// pushed makes images that no registry has yet, each with one layer.
type pushed struct {
	repository    string
	config, layer []byte
	count         atomic.Uint64
}

func newPushed(worker int) *pushed {
	source := rand.New(rand.NewSource(time.Now().UnixNano() + int64(worker)))
	return &pushed{
		repository: fmt.Sprintf("pushed/by%03d", worker),
		config:     random(source, configSize),
		layer:      random(source, pushedLayer),
	}
}

func (p *pushed) next() image {
	count := p.count.Add(1)
	binary.BigEndian.PutUint64(p.config, count)
	binary.BigEndian.PutUint64(p.layer, count)
	return newImage(p.repository, fmt.Sprintf("v%d", count%8), p.config, p.layer)
}
