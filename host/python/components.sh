#!/bin/sh
# Prints the names of the plugins that the Python package contains as components: those of flowloom.nfstream.plugins.
echo dhcp ja4 mdns
