// The OpenTelemetry Collector's own receiver of OTLP over gRPC. It listens on the address that it is given, and prints each
// batch of spans that it gets as a line of JSON, in OTLP's form. With a certificate and its key it is encrypted, and asks its
// clients for one of the authority.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/configgrpc"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/config/configtls"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
)

func main() {
	if len(os.Args) != 2 && len(os.Args) != 5 {
		log.Fatal("usage: collector ADDRESS [CERTIFICATE KEY AUTHORITY]")
	}
	if err := serve(os.Args[1], os.Args[2:]); err != nil {
		log.Fatal(err)
	}
}

func serve(address string, files []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	spans, err := consumer.NewTraces(print)
	if err != nil {
		return err
	}
	factory := otlpreceiver.NewFactory()
	grpc := configgrpc.NewDefaultServerConfig()
	grpc.NetAddr.Endpoint = address
	if len(files) == 3 {
		tls := configtls.NewDefaultServerConfig()
		tls.CertFile, tls.KeyFile, tls.ClientCAFile = files[0], files[1], files[2]
		grpc.TLS = configoptional.Some(tls)
	}
	config := factory.CreateDefaultConfig().(*otlpreceiver.Config)
	config.Protocols.GRPC = configoptional.Some(grpc)
	settings := receiver.Settings{ID: component.NewID(factory.Type()), TelemetrySettings: componenttest.NewNopTelemetrySettings()}
	otlp, err := factory.CreateTraces(ctx, settings, config, spans)
	if err != nil {
		return err
	}
	if err := otlp.Start(ctx, componenttest.NewNopHost()); err != nil {
		return err
	}
	fmt.Println("collector listens on", address)
	<-ctx.Done()
	return otlp.Shutdown(context.Background())
}

func print(_ context.Context, spans ptrace.Traces) error {
	line, err := (&ptrace.JSONMarshaler{}).MarshalTraces(spans)
	if err != nil {
		return err
	}
	_, err = fmt.Println(string(line))
	return err
}
