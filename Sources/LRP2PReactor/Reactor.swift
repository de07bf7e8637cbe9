import LRP2PCore
