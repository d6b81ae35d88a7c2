package configs

import "embed"

// Cluster are the files of three servers that a shop may use in place of a broker of its
// own; barista key cluster-config makes what they name, and writes them beside it.
//
//go:embed cluster/common.conf cluster/n1.conf cluster/compose.yaml
var Cluster embed.FS
