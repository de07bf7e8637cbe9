@_exported import LRP2PCore
@_exported import LRP2PReactor
