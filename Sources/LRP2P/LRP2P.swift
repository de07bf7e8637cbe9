@_exported import LRP2PCore
