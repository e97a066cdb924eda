package telemetry

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// collector sends spans by OTLP over HTTP, in protobuf. It implements otlptrace.Client. The exporter of OpenTelemetry does the
// same, but with it the program contains gRPC, and with gRPC all methods of all types.
type collector struct {
	url     string
	headers map[string]string
	client  *http.Client
}

// maxAnswer is the number of bytes that are read of an answer of the collector.
const maxAnswer = 64 << 10

// Start implements otlptrace.Client.
func (c *collector) Start(context.Context) error { return nil }

// Stop implements otlptrace.Client.
func (c *collector) Stop(context.Context) error { return nil }

// UploadTraces implements otlptrace.Client. It sends one request and does not repeat it.
func (c *collector) UploadTraces(ctx context.Context, spans []*tracepb.ResourceSpans) error {
	// TracesData is encoded as the ExportTraceServiceRequest of the protocol.
	body, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: spans})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, exportTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	for name, value := range c.headers {
		r.Header.Set(name, value)
	}
	r.Header.Set("Content-Type", "application/x-protobuf")
	answer, err := c.client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("the collector answers %s: %.200q", answer.Status, text)
	}
	if err != nil {
		return fmt.Errorf("cannot read the answer of the collector: %w", err)
	}
	if strings.HasPrefix(answer.Header.Get("Content-Type"), "application/x-protobuf") {
		return rejected(text)
	}
	return nil
}

// rejected returns the error of an ExportTraceServiceResponse whose field partial_success (1) has rejected_spans (1) and
// error_message (2); nil if the collector took all spans.
func rejected(answer []byte) error {
	var spans uint64
	var reason []byte
	eachField(answer, func(field protowire.Number, _ uint64, partial []byte) {
		if field != 1 {
			return
		}
		eachField(partial, func(field protowire.Number, number uint64, text []byte) {
			switch field {
			case 1:
				spans = number
			case 2:
				reason = text
			}
		})
	})
	if spans == 0 {
		return nil
	}
	return fmt.Errorf("the collector rejected %d spans: %.200q", spans, reason)
}

// eachField calls f with the varints and the byte fields of a message, until its end or the first invalid field.
func eachField(message []byte, f func(field protowire.Number, number uint64, text []byte)) {
	for len(message) > 0 {
		field, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return
		}
		message = message[n:]
		var number uint64
		var text []byte
		switch kind {
		case protowire.VarintType:
			number, n = protowire.ConsumeVarint(message)
		case protowire.BytesType:
			text, n = protowire.ConsumeBytes(message)
		default:
			n = protowire.ConsumeFieldValue(field, kind, message)
		}
		if n < 0 {
			return
		}
		f(field, number, text)
		message = message[n:]
	}
}
